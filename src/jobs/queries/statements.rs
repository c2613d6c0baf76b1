use crate::store::sqls;

sqls! {
    JOB_ENQUEUE = "
        insert into jobs (kind, key, params, target, lane, state, max_attempts, run_at_ms, wished_ms, created_ms, updated_ms)
        select json_extract(value, '$.kind'), json_extract(value, '$.key'),
               json_extract(value, '$.params'), json_extract(value, '$.target'), json_extract(value, '$.lane'), 'ready',
               json_extract(value, '$.max_attempts'), json_extract(value, '$.run_at_ms'), $2, $2, $2
          from json_each($1) where true
        on conflict (kind, key) where finished_ms is null do update set
            params = excluded.params, target = excluded.target, lane = excluded.lane,
            max_attempts = excluded.max_attempts,
            generation = jobs.generation + 1, rev = jobs.rev + 1,
            attempts = case when jobs.state = 'running' then jobs.attempts else 0 end,
            state = case when jobs.state = 'running' then 'running' else 'ready' end,
            run_at_ms = case
                when jobs.state = 'running'
                     and jobs.generation <= max(jobs.run_generation, jobs.stop_generation)
                then excluded.run_at_ms
                when jobs.state <> 'running' and jobs.crashes > 1 then jobs.run_at_ms
                else min(jobs.run_at_ms, excluded.run_at_ms) end,
            updated_ms = excluded.updated_ms
        returning id, kind, key, generation"
      | "
        insert into jobs (kind, key, params, target, lane, state, max_attempts, run_at_ms, wished_ms, created_ms, updated_ms)
        select kind, key, params, target, lane, 'ready', max_attempts, run_at_ms, $2, $2, $2
          from jsonb_to_recordset($1::jsonb) as wish (kind text, key text, params text, target text, lane text,
                                                      max_attempts bigint, run_at_ms bigint)
        on conflict (kind, key) where finished_ms is null do update set
            params = excluded.params, target = excluded.target, lane = excluded.lane,
            max_attempts = excluded.max_attempts,
            generation = jobs.generation + 1, rev = jobs.rev + 1,
            attempts = case when jobs.state = 'running' then jobs.attempts else 0 end,
            state = case when jobs.state = 'running' then 'running' else 'ready' end,
            run_at_ms = case
                when jobs.state = 'running'
                     and jobs.generation <= greatest(jobs.run_generation, jobs.stop_generation)
                then excluded.run_at_ms
                when jobs.state <> 'running' and jobs.crashes > 1 then jobs.run_at_ms
                else least(jobs.run_at_ms, excluded.run_at_ms) end,
            updated_ms = excluded.updated_ms
        returning id, kind, key, generation";
    LANES = "
        with recursive first (id) as (
            select * from (select id from jobs where state in ('ready', 'retry')
                            order by lane, run_at_ms, id limit 1)
            union all
            select (select id from jobs
                     where state in ('ready', 'retry')
                       and lane > (select lane from jobs seen where seen.id = first.id)
                     order by lane, run_at_ms, id limit 1)
              from first where first.id is not null)
        select lane, run_at_ms from first join jobs on jobs.id = first.id"
      | "
        with recursive first as (
            (select lane, run_at_ms from jobs where state in ('ready', 'retry')
              order by lane, run_at_ms, id limit 1)
            union all
            select following.* from first, lateral (
                select lane, run_at_ms from jobs
                 where state in ('ready', 'retry') and jobs.lane > first.lane
                 order by lane, run_at_ms, id limit 1) as following)
        select lane, run_at_ms from first";
    JOB_CLAIM = "
        with recursive due (id, run_at_ms, lane, jobs) as (
            select -1, -1, json_extract(value, '$.lane'), json_extract(value, '$.jobs')
              from json_each($4)
            union all
            select following.id, following.run_at_ms, due.lane, due.jobs - 1
              from due join jobs as following on following.id = (
                   select id from jobs
                    where state in ('ready', 'retry') and lane = due.lane and run_at_ms <= $1
                      and (run_at_ms, id) > (due.run_at_ms, due.id)
                    order by run_at_ms, id limit 1)
             where due.jobs > 0)
        update jobs set state = 'running', lease_owner = $2, lease_until_ms = $3,
               epoch = epoch + 1, rev = rev + 1, attempts = attempts + 1,
               run_generation = generation, started_ms = $1, updated_ms = $1
         where id in (select id from due)
        returning id, kind, key, params, attempts, run_at_ms, lane, epoch"
      | "
        with due as materialized (
            select job.id from jsonb_to_recordset($4::jsonb) as turn (lane text, jobs bigint),
                   lateral (select id from jobs
                             where state in ('ready', 'retry') and jobs.lane = turn.lane
                               and run_at_ms <= $1
                             order by run_at_ms, id limit turn.jobs
                               for update skip locked) as job)
        update jobs set state = 'running', lease_owner = $2, lease_until_ms = $3,
               epoch = epoch + 1, rev = rev + 1, attempts = attempts + 1,
               run_generation = generation, started_ms = $1, updated_ms = $1
         where id in (select id from due)
        returning id, kind, key, params, attempts, run_at_ms, lane, epoch";
    TARGETS_PARKED = "select * from job_targets";
    TARGET_PROBE = "
        update job_targets set until_ms = $3, probing = true where target = $1 and until_ms = $2";
    TARGET_PARK = "
        insert into job_targets (target, failures, until_ms, probing, reason)
        values ($1, $2, $3, $4, $5)
        on conflict (target) do update set failures = excluded.failures,
            until_ms = excluded.until_ms, probing = excluded.probing, reason = excluded.reason";
    TARGET_OPEN = "delete from job_targets where target = $1";
    JOB_LOCK = "
        select * from jobs where id in (select value from json_each($1)) order by id"
      | "
        select * from jobs
         where id in (select value::bigint from jsonb_array_elements_text($1::jsonb))
         order by id for update";
    JOB_SAVE = "
        update jobs set state = next.state, generation = next.generation,
               stop_generation = next.stop_generation, attempts = next.attempts,
               crashes = next.crashes, run_at_ms = next.run_at_ms, rev = next.rev,
               error = next.error, error_class = next.error_class,
               finished_ms = next.finished_ms, updated_ms = $2,
               lease_owner = case when next.state = 'running' then lease_owner end,
               lease_until_ms = case when next.state = 'running' then lease_until_ms end
          from (select json_extract(value, '$.id') as id, json_extract(value, '$.state') as state,
                       json_extract(value, '$.generation') as generation,
                       json_extract(value, '$.stop_generation') as stop_generation,
                       json_extract(value, '$.attempts') as attempts,
                       json_extract(value, '$.crashes') as crashes,
                       json_extract(value, '$.run_at_ms') as run_at_ms,
                       json_extract(value, '$.rev') as rev,
                       json_extract(value, '$.error') as error,
                       json_extract(value, '$.error_class') as error_class,
                       json_extract(value, '$.finished_ms') as finished_ms
                  from json_each($1)) as next
         where jobs.id = next.id and jobs.rev = next.rev - 1"
      | "
        update jobs set state = next.state, generation = next.generation,
               stop_generation = next.stop_generation, attempts = next.attempts,
               crashes = next.crashes, run_at_ms = next.run_at_ms, rev = next.rev,
               error = next.error, error_class = next.error_class,
               finished_ms = next.finished_ms, updated_ms = $2,
               lease_owner = case when next.state = 'running' then lease_owner end,
               lease_until_ms = case when next.state = 'running' then lease_until_ms end
          from jsonb_to_recordset($1::jsonb) as next (id bigint, state text, generation bigint,
                   stop_generation bigint, attempts bigint, crashes bigint, run_at_ms bigint,
                   rev bigint, error text, error_class text, finished_ms bigint)
         where jobs.id = next.id and jobs.rev = next.rev - 1";
    JOB_SUCCEED = "
        update jobs set state = case
                   when generation > max(run_generation, stop_generation) then 'ready'
                   when generation > run_generation then 'stopped' else 'done' end,
               attempts = case when generation > max(run_generation, stop_generation) then 0
                               else attempts end,
               finished_ms = case when generation <= max(run_generation, stop_generation)
                                  then $2 end,
               wished_ms = case when generation > run_generation then started_ms
                                else wished_ms end,
               crashes = 0, rev = rev + 1, error = null, error_class = null,
               lease_owner = null, lease_until_ms = null, updated_ms = $2
          from (select json_extract(value, '$[0]') as id, json_extract(value, '$[1]') as epoch
                  from json_each($1)) as run
         where jobs.id = run.id and jobs.epoch = run.epoch and jobs.state = 'running'
        returning jobs.id as id, jobs.state as state"
      | "
        update jobs set state = case
                   when generation > greatest(run_generation, stop_generation) then 'ready'
                   when generation > run_generation then 'stopped' else 'done' end,
               attempts = case when generation > greatest(run_generation, stop_generation) then 0
                               else attempts end,
               finished_ms = case when generation <= greatest(run_generation, stop_generation)
                                  then $2::bigint end,
               wished_ms = case when generation > run_generation then started_ms
                                else wished_ms end,
               crashes = 0, rev = rev + 1, error = null, error_class = null,
               lease_owner = null, lease_until_ms = null, updated_ms = $2
          from (select (value->>0)::bigint as id, (value->>1)::bigint as epoch
                  from jsonb_array_elements($1::jsonb)) as run
         where jobs.id = run.id and jobs.epoch = run.epoch and jobs.state = 'running'
        returning jobs.id as id, jobs.state as state";
    JOB_BEAT = "
        update jobs set lease_until_ms = $1, progress = alive.progress
          from (select json_extract(value, '$.id') as id,
                       json_extract(value, '$.progress') as progress
                  from json_each($3)) as alive
         where jobs.id = alive.id and jobs.state = 'running' and jobs.lease_owner = $2
        returning jobs.id as id, epoch, stop_generation >= run_generation as stopping"
      | "
        update jobs set lease_until_ms = $1, progress = alive.progress
          from jsonb_to_recordset($3::jsonb) as alive (id bigint, progress text)
         where jobs.id = alive.id and jobs.state = 'running' and jobs.lease_owner = $2
        returning jobs.id as id, epoch, stop_generation >= run_generation as stopping";
    JOBS_EXPIRED = "
        select id from jobs where state = 'running' and lease_until_ms < $1
         order by lease_until_ms limit $2";
    // `+`: SQLite is to look through the index of those that run, not to avoid sorting them.
    JOBS_FOREIGN = "
        select id from jobs where state = 'running' and lease_owner <> $1 order by +id limit $2";
    JOB_BY_ID = "select * from jobs where id = $1";
    JOBS_DEPTH = "
        select kind, state, count(*) as jobs from jobs where finished_ms is null
         group by kind, state";
    JOBS_SWEEP = "
        delete from jobs where id in
            (select id from jobs where finished_ms < $1
                and kind not in (select value from json_each($3))
              order by finished_ms limit $2)"
      | "
        delete from jobs where id in
            (select id from jobs where finished_ms < $1
                and kind not in (select value from jsonb_array_elements_text($3::jsonb))
              order by finished_ms limit $2)";
    LOG_LAST = "select coalesce(max(seq), 0) from job_logs where job_id = $1";
    LOG_TRIM = "delete from job_logs where job_id = $1 and seq <= $2";
    LOG_APPEND = "
        insert into job_logs (job_id, seq, at_ms, line)
        select jobs.id, json_extract(value, '$.seq'), json_extract(value, '$.at_ms'),
               json_extract(value, '$.line')
          from json_each($1) join jobs on jobs.id = json_extract(value, '$.job_id')
                                      and jobs.epoch = json_extract(value, '$.epoch')
         where true
        on conflict (job_id, seq) do nothing"
      | "
        insert into job_logs (job_id, seq, at_ms, line)
        select jobs.id, seq, at_ms, line
          from jsonb_to_recordset($1::jsonb)
               as entry (job_id bigint, epoch bigint, seq bigint, at_ms bigint, line text)
          join jobs on jobs.id = entry.job_id and jobs.epoch = entry.epoch
        on conflict (job_id, seq) do nothing";
    LOG_NOTE = "
        insert into job_logs (job_id, seq, at_ms, line)
        select id, (select coalesce(max(seq), 0) + 1 from job_logs where job_id = jobs.id), $2, $3
          from jobs where id in (select value from json_each($1))"
      | "
        insert into job_logs (job_id, seq, at_ms, line)
        select id, (select coalesce(max(seq), 0) + 1 from job_logs where job_id = jobs.id), $2, $3
          from jobs where id in (select value::bigint from jsonb_array_elements_text($1::jsonb))";
    LOG_LINES = "select seq, at_ms, line from job_logs where job_id = $1 order by seq";
}
