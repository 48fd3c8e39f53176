-- Stores what attempts reported, of those that are still the current ones: `batch` is a JSON list, `now` milliseconds since 1970.
-- What was to be tried again or handed over and was asked to end meanwhile, ends.
WITH batch AS MATERIALIZED (
    SELECT
        json_extract(value, '$.id') AS id,
        json_extract(value, '$.fence') AS fence,
        json_extract(value, '$.status') AS status,
        json_extract(value, '$.given_back') AS given_back,
        json_extract(value, '$.delay') AS delay,
        json_extract(value, '$.progress') AS progress,
        json_extract(value, '$.message') AS message,
        json_extract(value, '$.result') AS result,
        json_extract(value, '$.error') AS error
    FROM json_each(:batch)
)
UPDATE hubbub_jobs AS job SET
    status = CASE WHEN job.cancelling AND batch.status IN ('delayed', 'pending') THEN 'cancelled' ELSE batch.status END,
    holder = CASE WHEN batch.status = 'running' THEN job.holder END,
    attempt = job.attempt - batch.given_back,
    due = CASE WHEN batch.status = 'delayed' THEN :now + batch.delay ELSE job.due END,
    progress = batch.progress,
    message = batch.message,
    result = batch.result,
    error = CASE WHEN batch.status IN ('running', 'pending') THEN job.error ELSE batch.error END,
    finished = CASE
        WHEN batch.status IN ('completed', 'failed', 'cancelled') THEN :now
        WHEN job.cancelling AND batch.status IN ('delayed', 'pending') THEN :now
    END
FROM batch
WHERE job.id = batch.id AND job.fence = batch.fence AND job.status = 'running'
RETURNING id, fence, status, attempt, due, error, finished
