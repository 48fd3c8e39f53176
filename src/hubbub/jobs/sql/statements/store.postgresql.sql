-- Stores what attempts reported, of those that are still the current ones: `batch` is a JSON list.
-- What was to be tried again or handed over and was asked to end meanwhile, ends.
UPDATE hubbub_jobs AS job SET
    status = CASE WHEN job.cancelling AND batch.status IN ('delayed', 'pending') THEN 'cancelled' ELSE batch.status END,
    holder = CASE WHEN batch.status = 'running' THEN job.holder END,
    attempt = job.attempt - batch.given_back,
    due = CASE WHEN batch.status = 'delayed' THEN clock.now + batch.delay ELSE job.due END,
    progress = batch.progress,
    message = batch.message,
    result = batch.result,
    error = CASE WHEN batch.status IN ('running', 'pending') THEN job.error ELSE batch.error END,
    finished = CASE
        WHEN batch.status IN ('completed', 'failed', 'cancelled') THEN clock.now
        WHEN job.cancelling AND batch.status IN ('delayed', 'pending') THEN clock.now
    END
FROM
    json_to_recordset(CAST(:batch AS json)) AS batch (
        id text, fence bigint, status text, given_back integer, delay bigint, progress integer, message text,
        result text, error text
    ),
    (SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint) AS now) AS clock
WHERE job.id = batch.id AND job.fence = batch.fence AND job.status = 'running'
RETURNING job.id, job.fence, job.status, job.attempt, job.due, job.error, job.finished
