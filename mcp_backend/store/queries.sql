-- name: audit_last
select seq, hash from audit_head where one = 1;

-- name: audit_append
insert into audit (seq, record, hash) values (:seq, :record, :hash);

-- name: audit_set_head
insert into audit_head (one, seq, hash, at) values (1, :seq, :hash, :at)
on conflict (one) do update set seq = excluded.seq, hash = excluded.hash,
  at = case when excluded.at > audit_head.at then excluded.at else audit_head.at end;

-- name: audit_after
select seq, record, hash from audit where seq > :seq order by seq limit :limit;

-- name: audit_latest
select at from audit_head where one = 1;

-- name: audit_one
select seq, record, hash from audit where seq = :seq;

-- name: audit_hashes
select seq, hash from audit where seq in (select value from json_each(:numbers));

-- name: audit_before
select seq, record from audit where seq < :seq order by seq desc limit :limit;

-- name: audit_naming
select seq from audit where seq > :after and record like :mark limit 1;

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
                        assignee, asker, opened, expires, chain, asked, escalate_every, escalate_at, quotes)
values (:id, :kind, :title, :question, :details, :blocking, :digest, :at_version, :tool, :constraint_id, 'open',
        :assignee, :asker, :opened, :expires, :chain, :asked, :escalate_every, :escalate_at, :quotes);

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

-- name: escalations_overdue
select id, assignee, chain, asked, escalate_every, escalate_at from escalation
where status = 'open' and escalate_at is not null and escalate_at <= :now;

-- name: escalation_pass_on
update escalation set assignee = :assignee, chain = :chain, asked = :asked, escalate_at = :escalate_at, status = 'open'
where id = :id and status in ('open', 'acknowledged') and assignee = :before
returning id;

-- name: escalation_acknowledge
update escalation set status = 'acknowledged', escalate_at = null
where id = :id and status = 'open'
returning id;

-- name: escalation_ask_back
update escalation set status = 'acknowledged', escalate_at = null, awaits = 'asker', seen = 0
where id = :id and status in ('open', 'acknowledged')
returning id;

-- name: escalation_reply
update escalation set awaits = '' where id = :id and status in ('open', 'acknowledged') and awaits = 'asker'
returning id;

-- name: escalation_end
update escalation set status = :status, decided = :now, awaits = ''
where id = :id and status in ('open', 'acknowledged')
returning id;

-- name: escalation_decide
update escalation set status = :status, answer = :answer, answered_by = :by, channel = :channel, decided = :now,
                      awaits = ''
where id = :id and status in ('open', 'acknowledged')
returning id;

-- name: escalation_supersede
update escalation set status = 'superseded'
where digest = :digest and at_version <> :at_version
  and (status in ('open', 'acknowledged')
       or status = 'approved' and exists (select 1 from approval a where a.escalation = escalation.id and a.spent is null))
returning id;

-- name: escalation_event
insert into escalation_event (escalation, at, event, actor, channel, note)
values (:escalation, :at, :event, :actor, :channel, :note);

-- name: escalation_events
select seq, at, event, actor, channel, note from escalation_event where escalation = :escalation order by seq;

-- name: escalation_seen
update escalation set seen = 1
where id = :id and asker = :asker and seen = 0 and (status not in ('open', 'acknowledged') or awaits = 'asker');

-- name: notices
select id, kind, status, title, answer, awaits,
       (select note from escalation_event e where e.escalation = escalation.id and e.event = 'asked_back'
        order by e.seq desc limit 1) as asked_back
from escalation
where seen = 0 and asker = :asker and (status in ('answered', 'approved', 'denied', 'expired') or awaits = 'asker'
                    or (status = 'superseded' and kind <> 'approval'))
order by decided limit 10;

-- name: approval_add
insert into approval (id, escalation, digest, at_version, approver, channel, granted, expires, record)
values (:id, :escalation, :digest, :at_version, :approver, :channel, :granted, :expires, :record);

-- name: approval_spend
update approval set spent = :now
where id = (select id from approval
            where digest = :digest and at_version = :at_version and spent is null and expires > :now limit 1)
  and spent is null
returning id, escalation, approver, channel, expires, record;

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

-- name: delivery_add
insert into delivery (id, at) values (:id, :at) on conflict (id) do nothing returning id;

-- name: deliveries_forget
delete from delivery where at < :before;
