BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> feeaf37f46cb

CREATE TABLE customer (
    id SERIAL NOT NULL, 
    name VARCHAR(100) NOT NULL, 
    email VARCHAR(200) NOT NULL, 
    CONSTRAINT pk_customer PRIMARY KEY (id), 
    CONSTRAINT uq_customer_email UNIQUE (email)
);

CREATE TABLE product (
    id SERIAL NOT NULL, 
    name VARCHAR(100) NOT NULL, 
    price NUMERIC(10, 2) NOT NULL, 
    CONSTRAINT pk_product PRIMARY KEY (id), 
    CONSTRAINT uq_product_name UNIQUE (name)
);

CREATE TABLE orders (
    id SERIAL NOT NULL, 
    customer_id INTEGER NOT NULL, 
    status VARCHAR(4) NOT NULL, 
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT now() NOT NULL, 
    CONSTRAINT pk_orders PRIMARY KEY (id), 
    CONSTRAINT fk_orders_customer_id_customer FOREIGN KEY(customer_id) REFERENCES customer (id)
);

CREATE INDEX ix_orders_customer_id ON orders (customer_id);

CREATE TABLE order_line (
    order_id INTEGER NOT NULL, 
    product_id INTEGER NOT NULL, 
    quantity INTEGER DEFAULT '1' NOT NULL, 
    CONSTRAINT pk_order_line PRIMARY KEY (order_id, product_id), 
    CONSTRAINT fk_order_line_order_id_orders FOREIGN KEY(order_id) REFERENCES orders (id), 
    CONSTRAINT fk_order_line_product_id_product FOREIGN KEY(product_id) REFERENCES product (id)
);

INSERT INTO alembic_version (version_num) VALUES ('feeaf37f46cb') RETURNING alembic_version.version_num;

COMMIT;

BEGIN;

-- Running upgrade feeaf37f46cb -> 9451fdc7fd7d

CREATE INDEX ix_orders_status ON orders (status, created_at);

UPDATE alembic_version SET version_num='9451fdc7fd7d' WHERE alembic_version.version_num = 'feeaf37f46cb';

COMMIT;

