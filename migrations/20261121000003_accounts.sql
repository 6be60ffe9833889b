-- Who buys: customers, their addresses, and the sign-ins that speak for them.

create table customers (
    id            uuid        primary key,
    created_at    timestamptz not null default now(),
    -- An admin is a customer who may change the catalogue and see all orders.
    role          text        not null default 'customer' check (role in ('customer', 'admin')),
    -- Lower case: two spellings of one address are one account.
    email         text        not null constraint customers_email_key unique
                              check (length(email) between 3 and 254 and email = lower(email)),
    name          text        not null check (length(name) between 1 and 255),
    -- argon2id, in the PHC string format, which carries its parameters and salt.
    password_hash text        not null check (length(password_hash) between 1 and 255)
);

create table addresses (
    id          uuid        primary key,
    customer_id uuid        not null constraint addresses_customer_id_fkey references customers (id) on delete cascade,
    created_at  timestamptz not null default now(),
    name        text        not null check (length(name) between 1 and 255),
    line1       text        not null check (length(line1) between 1 and 255),
    line2       text        check (length(line2) between 1 and 255),
    city        text        not null check (length(city) between 1 and 255),
    postal_code text        not null check (length(postal_code) between 1 and 32),
    region      text        check (length(region) between 1 and 255),
    -- ISO 3166-1 alpha-2.
    country     text        not null check (country ~ '^[A-Z]{2}$')
);

-- One sign-in: the family that all its refresh tokens belong to, and what a stored session keeps.
create table sessions (
    id                uuid        primary key,
    customer_id       uuid        not null constraint sessions_customer_id_fkey references customers (id) on delete cascade,
    created_at        timestamptz not null default now(),
    -- When the last refresh token of the family ends.
    expires_at        timestamptz not null,
    -- Signed out, or a refresh token was used twice: nothing of this family is accepted any more.
    revoked_at        timestamptz,
    -- The opaque access token, where the variants have one: its SHA-256, so that a copy of this table opens no door.
    access_token_hash bytea       constraint sessions_access_token_hash_key unique check (length(access_token_hash) = 32),
    access_expires_at timestamptz,
    -- What a shop keeps with a session. Nothing of ours reads it; its width is part of what a stored session costs.
    data              jsonb       not null default '{}'::jsonb check (jsonb_typeof(data) = 'object')
);

-- Refresh tokens rotate: each is used once, and gives the next. One that comes a second time was stolen, or its thief
-- came first: its family is revoked.
create table refresh_tokens (
    token_hash bytea       primary key check (length(token_hash) = 32),
    session_id uuid        not null constraint refresh_tokens_session_id_fkey references sessions (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);

-- Failed sign-ins of late, by what they were counted under: the SHA-256 of an email or of a client's address.
create table sign_in_failures (
    counted_under bytea       primary key check (length(counted_under) = 32),
    failures      integer     not null check (failures > 0),
    -- When the count begins anew.
    until         timestamptz not null
);

-- A review is written by who bought the product, once. Imported and generated reviews have no customer.
alter table reviews
    add column customer_id uuid constraint reviews_customer_id_fkey references customers (id) on delete set null,
    add constraint reviews_customer_id_product_id_key unique (customer_id, product_id);

-- What an admin changed.
create table audit_log (
    id          uuid        primary key,
    at          timestamptz not null default now(),
    customer_id uuid        not null constraint audit_log_customer_id_fkey references customers (id),
    -- For example `product.update` or `stock.set`.
    action      text        not null check (length(action) between 1 and 64),
    -- The slug or the SKU.
    subject     text        not null check (length(subject) between 1 and 255),
    -- The fields that changed, before and after.
    before      jsonb       not null,
    after       jsonb       not null
);
