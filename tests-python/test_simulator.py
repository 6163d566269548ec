"""The official Stripe library drives the simulated account."""

import http.server
import json
import threading
import unittest

import stripe

import program

KEY = "sk_test_simulator0123456789"


class Simulated(unittest.TestCase):
    def setUp(self):
        arguments = ["simulator", "--at", "127.0.0.1:0", "--key", KEY]
        self.base = program.listening(self, arguments, {})
        self.client = stripe.StripeClient(KEY, base_addresses={"api": self.base}, max_network_retries=0)

    def subscribed(self, method="pm_card_visa"):
        v1 = self.client.v1
        customer = v1.customers.create({"email": "ada@example.test", "name": "Ada"})
        card = v1.payment_methods.attach(method, {"customer": customer.id})
        v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
        product = v1.products.create({"name": "Pro"})
        price = v1.prices.create(
            {"product": product.id, "currency": "eur", "unit_amount": 2900, "recurring": {"interval": "month"}}
        )
        subscription = v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
        return customer, subscription

    def test_objects_are_created_read_changed_and_deleted(self):
        v1 = self.client.v1
        customer = v1.customers.create({"email": "a@example.test", "metadata": {"user": "7"}})
        self.assertTrue(customer.id.startswith("cus_"))
        self.assertEqual(v1.customers.retrieve(customer.id).metadata["user"], "7")
        changed = v1.customers.update(customer.id, {"name": "Ada", "metadata": {"user": ""}})
        self.assertEqual((changed.name, changed.metadata.to_dict()), ("Ada", {}))
        self.assertTrue(v1.customers.delete(customer.id).deleted)
        self.assertTrue(v1.customers.retrieve(customer.id).deleted)
        with self.assertRaises(stripe.InvalidRequestError) as missing:
            v1.customers.retrieve("cus_nobody")
        self.assertEqual((missing.exception.code, missing.exception.http_status), ("resource_missing", 404))
        self.assertTrue(missing.exception.request_id)

    def test_lists_page_by_themselves(self):
        made = [self.client.v1.customers.create({"name": f"C{number}"}).id for number in range(35)]
        for limit in (1, 7, 100):
            pages = self.client.v1.customers.list({"limit": limit})
            self.assertEqual([customer.id for customer in pages.auto_paging_iter()], made[::-1])
        backwards = self.client.v1.customers.list({"limit": 10, "ending_before": made[0]})
        self.assertEqual([customer.id for customer in backwards.auto_paging_iter()], made[1:])
        window = self.client.v1.customers.list({"created": {"gte": 1, "lt": 2}})
        self.assertEqual(len(window.data), 0)

    def test_a_subscription_pays_and_a_bad_card_does_not(self):
        customer, subscription = self.subscribed()
        self.assertEqual(subscription.status, "active")
        invoice = self.client.v1.invoices.retrieve(subscription.latest_invoice)
        self.assertEqual((invoice.status, invoice.amount_paid, invoice.customer), ("paid", 2900, customer.id))
        self.assertEqual(sum(line.amount for line in invoice.lines.data), 2900)
        ended = self.client.v1.subscriptions.cancel(subscription.id)
        self.assertEqual(ended.status, "canceled")
        self.assertEqual(self.client.v1.subscriptions.list().data, [])
        self.assertEqual(len(self.client.v1.subscriptions.list({"status": "all"}).data), 1)
        with self.assertRaises(stripe.CardError) as declined:
            self.client.v1.payment_intents.create(
                {"amount": 500, "currency": "eur", "payment_method": "pm_card_chargeDeclined", "confirm": True,
                 "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}}
            )
        self.assertEqual(declined.exception.code, "card_declined")

    def test_wrong_keys_and_repeated_writes(self):
        stranger = stripe.StripeClient("sk_test_stranger0000000000", base_addresses={"api": self.base})
        with self.assertRaises(stripe.AuthenticationError):
            stranger.v1.customers.list()
        once = {"idempotency_key": "key-1"}
        first = self.client.v1.customers.create({"name": "Once"}, once)
        self.assertEqual(self.client.v1.customers.create({"name": "Once"}, once).id, first.id)
        with self.assertRaises(stripe.IdempotencyError):
            self.client.v1.customers.create({"name": "Twice"}, once)

    def test_deliveries_carry_a_signature_that_the_library_accepts(self):
        received = []
        arrived = threading.Event()

        class Receiver(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                received.append((body, self.headers["stripe-signature"]))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                arrived.set()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        endpoint = self.client.v1.webhook_endpoints.create(
            {"url": f"http://127.0.0.1:{server.server_address[1]}/hook", "enabled_events": ["customer.created"]}
        )
        self.client.v1.products.create({"name": "not asked for"})
        customer = self.client.v1.customers.create({"name": "Ada"})
        self.assertTrue(arrived.wait(30))
        body, signature = received[0]
        event = stripe.Webhook.construct_event(body, signature, endpoint.secret)
        self.assertEqual((event.type, event.data.object.id), ("customer.created", customer.id))
        with self.assertRaises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", signature, endpoint.secret)
        self.assertEqual(json.loads(body)["id"], self.client.v1.events.list({"type": "customer.created"}).data[0].id)


if __name__ == "__main__":
    unittest.main()
