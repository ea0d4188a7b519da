-- Deployments of templates. Not in `resources`, whose lists would read every template.
-- scope is the key of the group or subscription; it sorts the newest first by started.
CREATE TABLE deployments (
  key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  scope TEXT COLLATE "C" NOT NULL,
  id TEXT NOT NULL,
  name TEXT NOT NULL,
  revision BIGINT NOT NULL,
  started BIGINT NOT NULL,
  ended BIGINT,
  body TEXT NOT NULL,
  hidden TEXT NOT NULL,
  request TEXT NOT NULL
);
CREATE INDEX deployments_by_scope ON deployments (scope, started, key);
-- What a deployment did: one row for each resource that it wrote, read or deleted.
CREATE TABLE deployment_operations (
  deployment TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  number BIGINT NOT NULL,
  body TEXT NOT NULL,
  hidden TEXT NOT NULL,
  PRIMARY KEY (deployment, id)
);
CREATE INDEX deployment_operations_by_number ON deployment_operations (deployment, number);
