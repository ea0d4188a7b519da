-- What resources are found by beside their keys; copied from `hidden.indexed` (store/write.rs).
-- When a schedule is due.
ALTER TABLE resources ADD COLUMN due BIGINT;
-- The source that a trigger follows, and the region that its template is in.
ALTER TABLE resources ADD COLUMN follows TEXT COLLATE "C";
ALTER TABLE resources ADD COLUMN region TEXT COLLATE "C";
-- What the staged scripts of a template take.
ALTER TABLE resources ADD COLUMN script_bytes BIGINT;
CREATE INDEX resources_due ON resources (due, key) WHERE due IS NOT NULL;
CREATE INDEX resources_by_source ON resources (follows, key) WHERE follows IS NOT NULL;
CREATE INDEX resources_by_region ON resources (subscription, kind, region) WHERE region IS NOT NULL;
CREATE INDEX resources_by_script_bytes ON resources (subscription, script_bytes)
  WHERE script_bytes IS NOT NULL;

-- Two requests at once could give two accounts one name, and so one folder: the older one has it.
DELETE FROM resources WHERE kind = 'microsoft.storage/storageaccounts' AND EXISTS (
  SELECT 1 FROM resources AS other
  WHERE other.kind = 'microsoft.storage/storageaccounts'
    AND other.subscription = resources.subscription AND other.name = resources.name
    AND (other.created < resources.created
      OR (other.created = resources.created AND other.key < resources.key)));
CREATE UNIQUE INDEX storage_accounts ON resources (subscription, name)
  WHERE kind = 'microsoft.storage/storageaccounts';

CREATE INDEX runs_by_state ON runs (state, subscription) WHERE ended IS NULL;
