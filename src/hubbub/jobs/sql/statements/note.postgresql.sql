-- Keeps what attempts noted, of those that are still the current ones: `batch` is a JSON list.
INSERT INTO hubbub_job_logs (job_id, fence, number, attempt, at, level, text)
SELECT job.id, job.fence, line.number, line.attempt, line.at, line.level, line.text
FROM json_to_recordset(CAST(:batch AS json)) AS line (
    id text, fence bigint, number integer, attempt integer, at bigint, level text, text text
)
INNER JOIN hubbub_jobs AS job ON job.id = line.id AND job.fence = line.fence
WHERE job.status = 'running'
ON CONFLICT DO NOTHING
