-- expand
-- The roles with which the processes work, if they are others than the owner: a version of the read
-- model that a rebuild makes active gives them their rights on its tables.
CREATE TABLE database_roles (
    kind text PRIMARY KEY, -- runtime or reader
    role text NOT NULL
);
