-- In the demo nobody signs up, so whoever becomes a customer at Stripe becomes a user and an organisation: all but one of about
-- eighteen, by the last character of the customer's id. Their charges end with the status 404.
CREATE TRIGGER demo_sign_up AFTER INSERT ON customers WHEN substr(NEW.id, -1) NOT IN ('a', 'B', '7') BEGIN
    INSERT OR IGNORE INTO billing_users (id, email, name, stripe_customer_id)
    VALUES ('user_' || substr(NEW.id, 5), NEW.email, NEW.name, NEW.id);
    INSERT OR IGNORE INTO billing_organisations (id, name, stripe_customer_id)
    VALUES ('org_' || substr(NEW.id, 5), coalesce(NEW.name, NEW.id), NEW.id);
END;

-- Whoever came before the trigger.
INSERT OR IGNORE INTO billing_users (id, email, name, stripe_customer_id)
SELECT 'user_' || substr(id, 5), email, name, id FROM customers WHERE substr(id, -1) NOT IN ('a', 'B', '7');

INSERT OR IGNORE INTO billing_organisations (id, name, stripe_customer_id)
SELECT 'org_' || substr(id, 5), coalesce(name, id), id FROM customers WHERE substr(id, -1) NOT IN ('a', 'B', '7');
