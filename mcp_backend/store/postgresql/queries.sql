-- name: running_add
with beat as (
  insert into instance (id, seen) values (:instance, clock_timestamp())
  on conflict (id) do update set seen = excluded.seen
)
insert into running (call, instance, tool, what) values (:call, :instance, :tool, :what);

-- name: instance_seen
insert into instance (id, seen) values (:instance, clock_timestamp())
on conflict (id) do update set seen = excluded.seen;

-- name: instance_gone
delete from instance where id = :instance;

-- name: instances_forget
delete from instance
where seen < clock_timestamp() - interval '1 day' and not exists (select 1 from running r where r.instance = instance.id);

-- name: instance_alive
select 1 as alive from instance where id = :instance and seen > clock_timestamp() - make_interval(secs => :seconds);

-- name: secret_get
select value from secret where name = :name;

-- name: secret_add
insert into secret (name, value) values (:name, :value) on conflict (name) do nothing;

-- name: rate_take
insert into rate as r (principal, tokens, at) values (:principal, :most - 1, clock_timestamp())
on conflict (principal) do update
set tokens = least(:most, r.tokens + extract(epoch from excluded.at - r.at) * :most / 60) - 1, at = excluded.at
where least(:most, r.tokens + extract(epoch from excluded.at - r.at) * :most / 60) >= 1
returning tokens;

-- name: rate_wait
select (1 - least(:most, tokens + extract(epoch from clock_timestamp() - at) * :most / 60)) * 60 / :most as seconds
from rate where principal = :principal;

-- name: answers
select 1 as answers;

-- name: audit_hashes
select seq, hash from audit where seq in (select value::bigint from jsonb_array_elements_text(:numbers::jsonb) as value);

-- name: rehearsal_keep
insert into rehearsal (digest, at_version, decided, report, at)
values (:digest, :at_version, :decided, :report, clock_timestamp())
on conflict (digest) do update
set at_version = excluded.at_version, decided = excluded.decided, report = excluded.report, at = excluded.at;

-- name: rehearsal_find
select digest, at_version, decided, report from rehearsal where starts_with(digest, :digest) order by at desc limit 1;

-- name: rehearsals_newest
select digest from rehearsal order by at desc limit :limit;

-- name: rehearsals_forget
delete from rehearsal where digest not in (select digest from rehearsal order by at desc limit :limit);
