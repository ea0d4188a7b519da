-- Who may do what, and who did what. Scopes and keys are in lower case; '' is the scope above all.
CREATE TABLE subscriptions (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  shares_cache BIGINT NOT NULL,
  created BIGINT NOT NULL
);
-- Custom roles belong to the tenant, so they are not in `resources`. name_key is the name in lower case.
CREATE TABLE role_definitions (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  name_key TEXT COLLATE "C" NOT NULL,
  body TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL
);
CREATE UNIQUE INDEX role_definitions_by_name ON role_definitions (name_key);
CREATE TABLE role_assignments (
  key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  principal TEXT COLLATE "C" NOT NULL,
  principal_type TEXT NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  body TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created BIGINT NOT NULL
);
-- Nobody has a role twice at one scope.
CREATE UNIQUE INDEX role_assignments_once ON role_assignments (scope, principal, role);
CREATE INDEX role_assignments_by_scope ON role_assignments (scope, key);
CREATE INDEX role_assignments_by_principal ON role_assignments (principal, scope, key);
CREATE INDEX role_assignments_by_role ON role_assignments (role);
CREATE TABLE locks (
  key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  scope TEXT COLLATE "C" NOT NULL,
  level TEXT NOT NULL,
  body TEXT NOT NULL,
  revision BIGINT NOT NULL
);
CREATE INDEX locks_by_scope ON locks (scope, key);
-- What a principal signs in with. owner is the client id of a service principal, or the object id of an
-- identity. issuer and subject are copied from `data` (credentials.rs), to find a federated one by them.
CREATE TABLE credentials (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  data TEXT NOT NULL,
  issuer TEXT COLLATE "C",
  subject TEXT COLLATE "C",
  starts BIGINT NOT NULL,
  expires BIGINT,
  created BIGINT NOT NULL,
  revoked BIGINT
);
CREATE INDEX credentials_by_owner ON credentials (owner, created, id);
CREATE UNIQUE INDEX credentials_by_subject ON credentials (issuer, subject, owner)
  WHERE issuer IS NOT NULL AND revoked IS NULL;
CREATE TABLE trusted_issuers (
  issuer TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  keys_uri TEXT,
  keys TEXT,
  fetched BIGINT,
  created BIGINT NOT NULL
);
-- Rows are only added, and removed by age. seq grows with every commit.
CREATE TABLE activity (
  seq BIGINT NOT NULL PRIMARY KEY,
  id TEXT COLLATE "C" NOT NULL,
  subscription TEXT COLLATE "C" NOT NULL,
  time BIGINT NOT NULL,
  grp TEXT COLLATE "C" NOT NULL,
  resource TEXT COLLATE "C" NOT NULL,
  provider TEXT COLLATE "C" NOT NULL,
  correlation TEXT COLLATE "C" NOT NULL,
  operation TEXT NOT NULL,
  caller TEXT COLLATE "C" NOT NULL,
  status TEXT COLLATE "C" NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX activity_by_time ON activity (subscription, time, seq);
CREATE INDEX activity_by_group ON activity (subscription, grp, time, seq);
CREATE INDEX activity_by_resource ON activity (subscription, resource, time, seq);
CREATE INDEX activity_by_provider ON activity (subscription, provider, time, seq);
CREATE INDEX activity_by_correlation ON activity (subscription, correlation, time, seq);
-- Each commit that changes who may do what increments it, so that other processes notice. At most one row.
CREATE TABLE access (
  id BIGINT NOT NULL PRIMARY KEY,
  generation BIGINT NOT NULL
);

-- Who began the operation, as JSON. Of operations before this column it is not known.
ALTER TABLE operations ADD COLUMN origin TEXT;
-- Since when roles decide; before that, everybody could do everything.
ALTER TABLE installation ADD COLUMN roles_since BIGINT;

-- Secrets become credentials. A hash is base64; quotes and backslashes are escaped all the same.
INSERT INTO credentials (id, owner, kind, name, data, starts, created, revoked)
  SELECT client_id, client_id, 'secret', name,
    '{"hash":"' || REPLACE(REPLACE(secret_hash, '\', '\\'), '"', '\"') || '"}',
    rotated, rotated, revoked
  FROM clients WHERE secret_hash <> '';

-- The name of a storage account names its folder, so it is unique over all subscriptions: its claim. If two
-- accounts have one name already, both stay, and the older one has the claim.
UPDATE resources SET claim = LOWER(name) WHERE key IN (
  SELECT key FROM (
    SELECT key, ROW_NUMBER() OVER (PARTITION BY LOWER(name) ORDER BY created, key) AS place
    FROM resources WHERE kind = 'microsoft.storage/storageaccounts') AS accounts
  WHERE place = 1);
