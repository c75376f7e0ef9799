-- How many turns the process runs at once, as of its last heartbeat; 0 while it shuts down.
ALTER TABLE runners ADD COLUMN capacity integer NOT NULL DEFAULT 0;
