// The ledger's tables (docs/LEDGER.md): integers only; the keys refuse in the same transaction what must not
// happen twice. What stands is never changed: a change is one more script, which raises the schema version.
#pragma once

namespace quire::coordinator {

inline constexpr char kLedgerSchema1[] = R"sql(
CREATE TABLE leader(one INTEGER PRIMARY KEY CHECK (one = 1), term INTEGER NOT NULL) STRICT;
INSERT INTO leader VALUES (1, 0);

CREATE TABLE account(
  id TEXT PRIMARY KEY,
  cap INTEGER,                -- NULL: unlimited
  balance INTEGER NOT NULL,   -- posted so far
  held INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE key(
  id TEXT PRIMARY KEY, kind INTEGER NOT NULL, hmac BLOB NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  revoked_ms INTEGER NOT NULL  -- 0: live
) STRICT, WITHOUT ROWID;
CREATE TABLE key_model(key_id TEXT NOT NULL, model TEXT NOT NULL, PRIMARY KEY (key_id, model)) STRICT, WITHOUT ROWID;

CREATE TABLE price(
  model TEXT NOT NULL, version INTEGER NOT NULL, prompt INTEGER NOT NULL, cached_prompt INTEGER NOT NULL,
  completion INTEGER NOT NULL, created_ms INTEGER NOT NULL, PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE request(
  id BLOB PRIMARY KEY,
  account TEXT NOT NULL,      -- '': settled before it was ever admitted
  key_id TEXT NOT NULL, model TEXT NOT NULL, price_version INTEGER NOT NULL,
  state INTEGER NOT NULL,     -- 0 open, 1 closed
  choices INTEGER NOT NULL, max_tokens INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
  cached_tokens INTEGER,      -- NULL until the first delivered position
  granted INTEGER NOT NULL, held INTEGER NOT NULL, reason INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX request_open ON request(state) WHERE state = 0;

CREATE TABLE delivered(
  request_id BLOB NOT NULL, choice INTEGER NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (request_id, choice)
) STRICT, WITHOUT ROWID;

CREATE TABLE entry(
  id BLOB PRIMARY KEY,        -- the request's
  account TEXT NOT NULL, key_id TEXT NOT NULL, model TEXT NOT NULL, price_version INTEGER NOT NULL,
  prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  amount INTEGER NOT NULL, closed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_closed ON entry(closed_ms);
CREATE TRIGGER entry_stands BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'an entry is immutable'); END;
CREATE TRIGGER entry_stays BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'an entry is immutable'); END;

-- For an exporter to an outer billing system: at least once, entry_id its idempotency key.
CREATE TABLE outbox(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, entry_id BLOB NOT NULL UNIQUE, sent_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
)sql";

// A settled request that nothing was billed for is forgotten after a while (R10).
inline constexpr char kLedgerSchema2[] = R"sql(
ALTER TABLE request ADD COLUMN unbilled_ms INTEGER;  -- when it was settled; NULL: open, billed or reaped
CREATE INDEX request_unbilled ON request(unbilled_ms) WHERE unbilled_ms IS NOT NULL;
UPDATE request SET unbilled_ms = 0 WHERE state = 1 AND account = '';
)sql";

// Under another pepper every key would be refused: a proof of the one that the keys are stored under.
inline constexpr char kLedgerSchema3[] = R"sql(
CREATE TABLE pepper(one INTEGER PRIMARY KEY CHECK (one = 1), proof BLOB NOT NULL) STRICT;
)sql";

// Entries that no request made: credits, and what takes another one back.
inline constexpr char kLedgerSchema4[] = R"sql(
ALTER TABLE entry ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;  -- 0 usage, 1 reversal, 2 credit
ALTER TABLE entry ADD COLUMN reverses BLOB;                    -- the id of the entry that a reversal takes back
ALTER TABLE entry ADD COLUMN note TEXT NOT NULL DEFAULT '';    -- the operator's words
CREATE UNIQUE INDEX entry_reverses ON entry(reverses) WHERE reverses IS NOT NULL;
)sql";

inline constexpr const char* kLedgerSchema[] = {kLedgerSchema1, kLedgerSchema2, kLedgerSchema3,
                                                kLedgerSchema4};

}  // namespace quire::coordinator
