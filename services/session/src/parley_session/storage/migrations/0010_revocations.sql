-- expand
-- Revocations of tokens: gateways refuse what was issued before `revoked_at`.

CREATE TABLE revocations (
    id uuid NOT NULL, -- of the event of its latest act
    tenant text NOT NULL,
    kind text NOT NULL, -- token, user or tenant
    target text NOT NULL, -- its jti, the user, or the tenant
    revoked_by text NOT NULL,
    revoked_at timestamptz NOT NULL, -- by the clock of the database
    expires_at timestamptz NOT NULL, -- no token that it refuses is valid after it
    PRIMARY KEY (tenant, kind, target)
);

CREATE UNIQUE INDEX revocations_in_order ON revocations (id);
CREATE INDEX revocations_lately ON revocations (revoked_at);
CREATE INDEX revocations_expired ON revocations (expires_at);
