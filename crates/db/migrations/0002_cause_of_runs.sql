-- Why a run began, as JSON. Of runs before this column it is not known; most were asked for.
ALTER TABLE runs ADD COLUMN cause TEXT NOT NULL DEFAULT '{"kind":"manual"}';
