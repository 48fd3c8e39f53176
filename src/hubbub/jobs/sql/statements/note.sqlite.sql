-- Keeps what attempts noted, of those that are still the current ones: `batch` is a JSON list.
INSERT INTO hubbub_job_logs (job_id, fence, number, attempt, at, level, text)
SELECT
    job.id,
    job.fence,
    json_extract(line.value, '$.number'),
    json_extract(line.value, '$.attempt'),
    json_extract(line.value, '$.at'),
    json_extract(line.value, '$.level'),
    json_extract(line.value, '$.text')
FROM json_each(:batch) AS line
INNER JOIN hubbub_jobs AS job
    ON job.id = json_extract(line.value, '$.id') AND job.fence = json_extract(line.value, '$.fence')
WHERE job.status = 'running'
ON CONFLICT DO NOTHING
