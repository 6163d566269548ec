"""A backfill from localstripe, a fake Stripe that this project did not write."""

import json
import os
import sqlite3
import unittest

import stripe

import program

KEY = "sk_test_0123456789abcdef"

# What localstripe can list, and the table of each kind.
LISTED = {
    "customer": "customers",
    "product": "products",
    "plan": "plans",
    "subscription": "subscriptions",
    "invoice": "invoices",
    "invoiceitem": "invoiceitems",
    "charge": "charges",
    "refund": "refunds",
    "payment_intent": "payment_intents",
    "setup_intent": "setup_intents",
    "coupon": "coupons",
    "tax_rate": "tax_rates",
    "payout": "payouts",
    "balance_transaction": "balance_transactions",
}


def company(client: stripe.StripeClient) -> None:
    """A small company: paying, failing and trying customers, refunds, coupons."""
    v1 = client.v1
    product = v1.products.create({"name": "Pro", "type": "service"})
    plan = v1.plans.create({"product": product.id, "currency": "eur", "amount": 2500, "interval": "month", "nickname": "Pro"})
    v1.coupons.create({"id": "QUARTER", "percent_off": 25, "duration": "once"})
    v1.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})
    for number in range(12):
        customer = v1.customers.create({"email": f"c{number}@example.test", "name": f"Customer {number}"})
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
        method = v1.payment_methods.create({"type": "card", "card": card})
        v1.payment_methods.attach(method.id, {"customer": customer.id})
        v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
        trial = {"trial_period_days": 7} if number % 3 == 0 else {}
        v1.subscriptions.create({"customer": customer.id, "items": [{"plan": plan.id}], **trial})
        if number % 4 == 0:
            v1.payment_intents.create(
                {"amount": 1000 + number, "currency": "eur", "customer": customer.id, "payment_method": method.id, "confirm": True}
            )
    charge = v1.charges.list().data[0]
    v1.refunds.create({"charge": charge.id, "amount": 300})


def listed(client: stripe.StripeClient) -> dict[str, dict[str, dict]]:
    """Every object by kind and id, as the official library lists them."""
    services = {
        "customer": client.v1.customers,
        "product": client.v1.products,
        "plan": client.v1.plans,
        "invoice": client.v1.invoices,
        "invoiceitem": client.v1.invoice_items,
        "charge": client.v1.charges,
        "refund": client.v1.refunds,
        "payment_intent": client.v1.payment_intents,
        "setup_intent": client.v1.setup_intents,
        "coupon": client.v1.coupons,
        "tax_rate": client.v1.tax_rates,
        "payout": client.v1.payouts,
        "balance_transaction": client.v1.balance_transactions,
    }
    found = {kind: {o.id: o for o in service.list({"limit": 100}).data} for kind, service in services.items()}
    subscriptions = client.v1.subscriptions.list({"limit": 100, "status": "all"}).data
    found["subscription"] = {o.id: o for o in subscriptions}
    return found


class Backfill(unittest.TestCase):
    def test_everything_localstripe_lists_becomes_rows(self):
        base = program.localstripe(self)
        client = stripe.StripeClient(KEY, base_addresses={"api": base})
        company(client)
        where = program.directory(self)
        environment = {
            "DATABASE_URL": "sqlite:billhook.db",
            "STRIPE_SECRET_KEY": KEY,
            "STRIPE_API_BASE": base,
        }
        program.command(self, ["migrate"], environment, where)
        program.command(self, ["backfill", *LISTED], environment, where)
        expected = listed(client)
        database = sqlite3.connect(os.path.join(where, "billhook.db"))
        self.addCleanup(database.close)
        for kind, table in LISTED.items():
            rows = dict(database.execute(f"SELECT id, _raw_data FROM {table}").fetchall())
            self.assertEqual(set(rows), set(expected[kind]), kind)
            for object_id, raw in rows.items():
                self.assertEqual(json.loads(raw)["id"], object_id)
        self.assertGreaterEqual(len(expected["customer"]), 12)
        self.assertGreaterEqual(len(expected["invoice"]), 8)
        statuses = dict(database.execute("SELECT id, status FROM subscriptions").fetchall())
        self.assertEqual(statuses, {o.id: o.status for o in expected["subscription"].values()})
        amounts = dict(database.execute("SELECT id, amount FROM charges").fetchall())
        self.assertEqual(amounts, {o.id: o.amount for o in expected["charge"].values()})

    def test_a_second_backfill_changes_nothing(self):
        base = program.localstripe(self)
        client = stripe.StripeClient(KEY, base_addresses={"api": base})
        for number in range(5):
            client.v1.customers.create({"email": f"c{number}@example.test"})
        where = program.directory(self)
        environment = {"DATABASE_URL": "sqlite:billhook.db", "STRIPE_SECRET_KEY": KEY, "STRIPE_API_BASE": base}
        program.command(self, ["migrate"], environment, where)
        seen = []
        for _ in range(2):
            program.command(self, ["backfill", "customer"], environment, where)
            database = sqlite3.connect(os.path.join(where, "billhook.db"))
            seen.append(database.execute("SELECT id, email, created, _raw_data FROM customers ORDER BY id").fetchall())
            database.close()
        self.assertEqual(len(seen[0]), 5)
        self.assertEqual(seen[0], seen[1])


if __name__ == "__main__":
    unittest.main()
