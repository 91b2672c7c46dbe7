-- A ledger as dealflow 0.1.0 (schema 0006) leaves it when its worker is killed in the middle of its work: a contract in
-- the sending state whose effect is unknown, a parked event, one that waits for a person, an open signature request.
CREATE TABLE alembic_version (
  version_num VARCHAR(32) NOT NULL,
  CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE associations (
  from_type VARCHAR(32) NOT NULL,
  from_id VARCHAR(32) NOT NULL,
  to_type VARCHAR(32) NOT NULL,
  to_id VARCHAR(32) NOT NULL,
  labels JSON NOT NULL,
  CONSTRAINT pk_associations PRIMARY KEY (from_type, from_id, to_type, to_id)
);
CREATE TABLE contracts (
  id INTEGER NOT NULL,
  deal_id VARCHAR(32) NOT NULL,
  revision INTEGER NOT NULL,
  token VARCHAR(32) NOT NULL,
  state VARCHAR(16) NOT NULL,
  paper_id INTEGER NOT NULL,
  signers JSON NOT NULL,
  request_id VARCHAR(64),
  test_mode BOOLEAN NOT NULL,
  created_at DATETIME NOT NULL,
  sent_at DATETIME,
  ended_at DATETIME,
  reason TEXT,
  CONSTRAINT pk_contracts PRIMARY KEY (id),
  CONSTRAINT uq_contracts_deal_id_revision UNIQUE (deal_id, revision),
  CONSTRAINT uq_contracts_request_id UNIQUE (request_id),
  CONSTRAINT uq_contracts_token UNIQUE (token)
);
CREATE TABLE counts (
  day VARCHAR(10) NOT NULL,
  name VARCHAR(64) NOT NULL,
  n INTEGER NOT NULL,
  CONSTRAINT pk_counts PRIMARY KEY (day, name)
);
CREATE TABLE cursors (
  name VARCHAR(64) NOT NULL,
  value TEXT NOT NULL,
  moved_at DATETIME NOT NULL,
  CONSTRAINT pk_cursors PRIMARY KEY (name)
);
CREATE TABLE deliveries (
  id INTEGER NOT NULL,
  source VARCHAR(32) NOT NULL,
  sha256 VARCHAR(64) NOT NULL,
  received_at DATETIME NOT NULL,
  headers JSON NOT NULL,
  body BLOB NOT NULL,
  repeats INTEGER DEFAULT '0' NOT NULL,
  CONSTRAINT pk_deliveries PRIMARY KEY (id),
  CONSTRAINT uq_deliveries_source_sha256 UNIQUE (source, sha256)
);
CREATE TABLE effects (
  id INTEGER NOT NULL,
  "key" VARCHAR(255) NOT NULL,
  kind VARCHAR(64) NOT NULL,
  deal_id VARCHAR(32),
  token VARCHAR(32) NOT NULL,
  state VARCHAR(16) NOT NULL,
  attempts INTEGER DEFAULT '0' NOT NULL,
  looks INTEGER DEFAULT '0' NOT NULL,
  event_id INTEGER,
  result JSON,
  reason TEXT,
  created_at DATETIME NOT NULL,
  tried_at DATETIME,
  settled_at DATETIME, resends INTEGER DEFAULT '0' NOT NULL, look_at DATETIME,
  CONSTRAINT pk_effects PRIMARY KEY (id),
  CONSTRAINT uq_effects_key UNIQUE ("key")
);
CREATE TABLE inbox (
  id INTEGER NOT NULL,
  source VARCHAR(32) NOT NULL,
  event_key VARCHAR(255) NOT NULL,
  kind VARCHAR(64) NOT NULL,
  lane VARCHAR(128) NOT NULL,
  deal_id VARCHAR(32),
  delivery_id INTEGER,
  content JSON NOT NULL,
  occurred_at DATETIME,
  received_at DATETIME NOT NULL,
  state VARCHAR(16) NOT NULL,
  due_at DATETIME NOT NULL,
  attempts INTEGER DEFAULT '0' NOT NULL,
  lease_owner VARCHAR(128),
  lease_until DATETIME,
  flow_run_id VARCHAR(36),
  reason TEXT,
  outcome JSON,
  finished_at DATETIME, nudged_at DATETIME, failures INTEGER DEFAULT '0' NOT NULL,
  CONSTRAINT pk_inbox PRIMARY KEY (id),
  CONSTRAINT uq_inbox_source_event_key UNIQUE (source, event_key)
);
CREATE TABLE papers (
  id INTEGER NOT NULL,
  deal_id VARCHAR(32) NOT NULL,
  kind VARCHAR(16) NOT NULL,
  version INTEGER NOT NULL,
  source_sha256 VARCHAR(64) NOT NULL,
  sha256 VARCHAR(64) NOT NULL,
  title TEXT NOT NULL,
  content BLOB NOT NULL,
  created_at DATETIME NOT NULL,
  file_id VARCHAR(32),
  CONSTRAINT pk_papers PRIMARY KEY (id),
  CONSTRAINT uq_papers_deal_id_kind_source_sha256 UNIQUE (deal_id, kind, source_sha256),
  CONSTRAINT uq_papers_deal_id_kind_version UNIQUE (deal_id, kind, version)
);
CREATE TABLE records (
  object_type VARCHAR(32) NOT NULL,
  object_id VARCHAR(32) NOT NULL,
  properties JSON NOT NULL,
  digest VARCHAR(64) NOT NULL,
  updated_at DATETIME,
  archived BOOLEAN NOT NULL,
  synced_at DATETIME NOT NULL, histories JSON,
  CONSTRAINT pk_records PRIMARY KEY (object_type, object_id)
);
CREATE TABLE stage_history (
  deal_id VARCHAR(32) NOT NULL,
  entered_at DATETIME NOT NULL,
  stage_id VARCHAR(64) NOT NULL,
  source_type VARCHAR(64),
  source_id VARCHAR(128),
  CONSTRAINT pk_stage_history PRIMARY KEY (deal_id, entered_at, stage_id)
);
CREATE TABLE workers (
  name VARCHAR(128) NOT NULL,
  started_at DATETIME NOT NULL,
  seen_at DATETIME NOT NULL,
  wake_port INTEGER,
  prefect_ok BOOLEAN NOT NULL,
  note TEXT,
  CONSTRAINT pk_workers PRIMARY KEY (name)
);
CREATE TABLE follow_ups (
  id INTEGER NOT NULL,
  deal_id VARCHAR(32) NOT NULL,
  stage VARCHAR(40) NOT NULL,
  entered_at DATETIME NOT NULL,
  number INTEGER NOT NULL,
  begun_at DATETIME NOT NULL,
  ended_at DATETIME,
  unmet JSON NOT NULL,
  done JSON NOT NULL,
  task_id VARCHAR(32),
  email_id VARCHAR(32),
  flagged BOOLEAN NOT NULL,
  cleared_at DATETIME,
  cleared_why TEXT,
  CONSTRAINT pk_follow_ups PRIMARY KEY (id),
  CONSTRAINT uq_follow_ups_deal_id_stage_entered_at_number UNIQUE (deal_id, stage, entered_at, number)
);
CREATE TABLE stage_checks (
  deal_id VARCHAR(32) NOT NULL,
  entered_at DATETIME NOT NULL,
  stage_id VARCHAR(64) NOT NULL,
  stage VARCHAR(40) NOT NULL,
  came_from VARCHAR(40),
  mode VARCHAR(16) NOT NULL,
  found VARCHAR(16) NOT NULL,
  action VARCHAR(16) NOT NULL,
  missing JSON NOT NULL,
  skipped JSON NOT NULL,
  proofs JSON NOT NULL,
  mover VARCHAR(160) NOT NULL,
  back_to VARCHAR(40),
  override_id INTEGER,
  checked_at DATETIME NOT NULL,
  settled_at DATETIME,
  result JSON,
  CONSTRAINT pk_stage_checks PRIMARY KEY (deal_id, entered_at, stage_id)
);
CREATE TABLE overrides (
  id INTEGER NOT NULL,
  deal_id VARCHAR(32) NOT NULL,
  stage VARCHAR(40) NOT NULL,
  person VARCHAR(200) NOT NULL,
  reason TEXT NOT NULL,
  granted_at DATETIME NOT NULL,
  expires_at DATETIME NOT NULL,
  revoked_at DATETIME,
  revoked_by VARCHAR(200),
  CONSTRAINT pk_overrides PRIMARY KEY (id)
);
CREATE TABLE property_history (
  deal_id VARCHAR(32) NOT NULL,
  property VARCHAR(255) NOT NULL,
  at DATETIME NOT NULL,
  value TEXT,
  CONSTRAINT pk_property_history PRIMARY KEY (deal_id, property, at)
);
CREATE TABLE association_history (
  from_type VARCHAR(32) NOT NULL,
  from_id VARCHAR(32) NOT NULL,
  to_type VARCHAR(32) NOT NULL,
  to_id VARCHAR(32) NOT NULL,
  label VARCHAR(64) NOT NULL,
  first_seen_at DATETIME NOT NULL,
  absent_at DATETIME,
  gone_at DATETIME,
  CONSTRAINT pk_association_history PRIMARY KEY (from_type, from_id, to_type, to_id, label, first_seen_at)
);
CREATE INDEX ix_associations_to_type_to_id ON associations (to_type, to_id);
CREATE INDEX ix_contracts_state ON contracts (state);
CREATE INDEX ix_effects_deal_id ON effects (deal_id);
CREATE INDEX ix_effects_state ON effects (state);
CREATE INDEX ix_inbox_deal_id_id ON inbox (deal_id, id);
CREATE INDEX ix_inbox_lane_id ON inbox (lane, id);
CREATE INDEX ix_inbox_state_due_at ON inbox (state, due_at);
CREATE INDEX ix_stage_history_stage_id_entered_at ON stage_history (stage_id, entered_at);
CREATE INDEX ix_follow_ups_email_id ON follow_ups (email_id);
CREATE INDEX ix_stage_checks_found_checked_at ON stage_checks (found, checked_at);
CREATE INDEX ix_overrides_deal_id_stage ON overrides (deal_id, stage);
insert into alembic_version values ('0006');
insert into cursors values ('watch_since', '2026-01-12T09:00:00+00:00', '2026-01-12 09:00:00.000000');
insert into deliveries (id, source, sha256, received_at, headers, body) values
  (1, 'lead', 'b1', '2026-01-12 09:00:00.000000', '{"content-type": "application/json"}', x'7b7d');
insert into papers (id, deal_id, kind, version, source_sha256, sha256, title, content, created_at) values
  (1, '4711', 'contract', 1, 's1', 'h1', 'Services agreement C-4711-1', x'25504446', '2026-02-02 09:02:00.000000'),
  (2, '4712', 'contract', 1, 's2', 'h2', 'Services agreement C-4712-2', x'25504446', '2026-02-02 09:02:00.000000');
insert into contracts (id, deal_id, revision, token, state, paper_id, signers, request_id, test_mode, created_at, sent_at)
values
  (1, '4711', 1, 'ae93de095ddc8e1699285331abb1ce2c', 'sending', 1,
   '[{"role": "client", "name": "A. Sample", "email": "a@buyer.example", "order": 0, "contact_id": "301", "title": ""}]',
   null, 1, '2026-02-02 09:02:00.000000', null),
  (2, '4712', 1, 'bf93de095ddc8e1699285331abb1ce2d', 'open', 2,
   '[{"role": "client", "name": "B. Sample", "email": "b@buyer.example", "order": 0, "contact_id": "302", "title": ""}]',
   '0ed904759531985d5d9dc9f81818e811892f902b', 1, '2026-02-02 09:02:00.000000', '2026-02-02 09:02:00.000000');
insert into effects (id, key, kind, deal_id, token, state, attempts, looks, event_id, created_at, tried_at, look_at) values
  (1, 'contract:4711:1', 'send_contract', '4711', 'ae93de095ddc8e1699285331abb1ce2c', 'unknown', 1, 1, 1,
   '2026-02-02 09:02:00.000000', '2026-02-02 09:02:00.000000', '2026-02-02 09:04:00.000000');
insert into inbox (id, source, event_key, kind, lane, deal_id, delivery_id, content, received_at, state, due_at, attempts,
  reason) values
  (1, 'stage', '4711:871204495:1770022800000:send_contract', 'contract.due', 'deal:4711', '4711', null,
   '{"stage": "closing"}', '2026-02-02 09:01:00.000000', 'parked', '2026-02-02 09:04:00.000000', 1, 'in doubt'),
  (2, 'stage', '4713:871204493:1770022800000:generate_proposal', 'proposal.due', 'deal:4713', '4713', null,
   '{"stage": "presentation"}', '2026-02-02 09:01:00.000000', 'held', '2026-02-02 15:01:00.000000', 1, 'no line items'),
  (3, 'dropbox_sign', 'signature_request_all_signed:1770022800:0ed904759531985d5d9dc9f81818e811892f902b:',
   'signature.event', 'request:0ed904759531985d5d9dc9f81818e811892f902b', null, null,
   '{"request_id": "0ed904759531985d5d9dc9f81818e811892f902b"}', '2026-02-02 09:03:00.000000', 'due',
   '2026-02-02 09:03:00.000000', 0, null);
