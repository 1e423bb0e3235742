-- name: audit_last
select seq, hash from audit_head where one = 1;

-- name: audit_append
insert into audit (seq, record, hash) values (:seq, :record, :hash);

-- name: audit_set_head
insert into audit_head (one, seq, hash) values (1, :seq, :hash)
on conflict (one) do update set seq = excluded.seq, hash = excluded.hash;

-- name: audit_after
select seq, record, hash from audit where seq > :seq order by seq limit :limit;

-- name: audit_recent
select seq, record from audit order by seq desc limit :limit;

-- name: running_add
insert into running (call, instance, tool, what) values (:call, :instance, :tool, :what);

-- name: running_remove
delete from running where call = :call;

-- name: running_all
select call, instance, tool, what from running;

-- name: escalation_add
insert into escalation (id, kind, title, question, details, blocking, digest, at_version, tool, constraint_id, status,
                        assignee, asker, opened, expires)
values (:id, :kind, :title, :question, :details, :blocking, :digest, :at_version, :tool, :constraint_id, 'open',
        :assignee, :asker, :opened, :expires);

-- name: escalation_get
select * from escalation where id = :id;

-- name: escalation_by_digest
select * from escalation where digest = :digest and at_version = :at_version order by opened desc;

-- name: escalations_open
select * from escalation where status in ('open', 'acknowledged') order by opened;

-- name: escalations_all
select * from escalation order by opened desc limit :limit;

-- name: escalation_expire
update escalation set status = 'expired', decided = :now
where status in ('open', 'acknowledged') and expires <= :now
returning id;

-- name: escalation_decide
update escalation set status = :status, answer = :answer, answered_by = :by, channel = :channel, decided = :now
where id = :id and status in ('open', 'acknowledged')
returning id;

-- name: escalation_supersede
update escalation set status = 'superseded'
where digest = :digest and at_version <> :at_version
  and (status in ('open', 'acknowledged')
       or status = 'approved' and exists (select 1 from approval a where a.escalation = escalation.id and a.spent is null))
returning id;

-- name: escalation_event
insert into escalation_event (escalation, at, event, actor, channel) values (:escalation, :at, :event, :actor, :channel);

-- name: escalation_events
select at, event, actor, channel from escalation_event where escalation = :escalation order by seq;

-- name: escalation_seen
update escalation set seen = 1 where id = :id and seen = 0 and status not in ('open', 'acknowledged');

-- name: notices
select id, kind, status, title, answer from escalation
where seen = 0 and status in ('answered', 'approved', 'denied', 'expired') order by decided limit 10;

-- name: approval_add
insert into approval (id, escalation, digest, at_version, approver, channel, granted, expires)
values (:id, :escalation, :digest, :at_version, :approver, :channel, :granted, :expires);

-- name: approval_spend
update approval set spent = :now
where id = (select id from approval
            where digest = :digest and at_version = :at_version and spent is null and expires > :now limit 1)
  and spent is null
returning id, escalation, approver, channel;

-- name: approval_of
select id, approver, channel, granted, expires, spent from approval where escalation = :escalation;

-- name: approvals_elsewhere
select at_version from approval
where digest = :digest and at_version <> :at_version and spent is null and expires > :now;

-- name: approvals_lapse
update approval set expires = :now where digest = :digest and at_version <> :at_version and spent is null;

-- name: receipt_add
insert into receipt (id, tree, command, passed, body, mac, created)
values (:id, :tree, :command, :passed, :body, :mac, :created);

-- name: receipt_get
select * from receipt where id = :id;

-- name: receipts_recent
select * from receipt order by created desc, rowid desc limit :limit;
