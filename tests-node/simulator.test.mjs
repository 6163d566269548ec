// The official library drives the simulated account: create, read, page, fail, verify.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import Stripe from 'stripe';
import { eventually, listening } from './program.mjs';

const key = 'sk_test_simulator0123456789';

/** A client of a simulated account of its own. */
async function account(t) {
  const base = new URL(await listening(t, ['simulator', '--at', '127.0.0.1:0', '--key', key], {}));
  return new Stripe(key, { protocol: 'http', host: base.hostname, port: Number(base.port), maxNetworkRetries: 0 });
}

test('objects are created, read, changed and deleted', async (t) => {
  const stripe = await account(t);
  const customer = await stripe.customers.create({ email: 'a@example.test', metadata: { user: '7' } });
  assert.match(customer.id, /^cus_/);
  assert.equal((await stripe.customers.retrieve(customer.id)).metadata.user, '7');
  const changed = await stripe.customers.update(customer.id, { name: 'Ada', metadata: { user: '' } });
  assert.deepEqual([changed.name, { ...changed.metadata }], ['Ada', {}]);
  assert.equal((await stripe.customers.del(customer.id)).deleted, true);
  assert.equal((await stripe.customers.retrieve(customer.id)).deleted, true);
  await assert.rejects(stripe.customers.retrieve('cus_nobody'), (error) => {
    assert.deepEqual([error.type, error.code, error.statusCode], ['StripeInvalidRequestError', 'resource_missing', 404]);
    return Boolean(error.requestId);
  });
});

test('lists page by themselves, in both directions', async (t) => {
  const stripe = await account(t);
  const made = [];
  for (let number = 0; number < 35; number++) made.push((await stripe.customers.create({ name: `C${number}` })).id);
  for (const limit of [1, 7, 100]) {
    const seen = [];
    for await (const customer of stripe.customers.list({ limit })) seen.push(customer.id);
    assert.deepEqual(seen, made.toReversed());
  }
  const seen = [];
  for await (const customer of stripe.customers.list({ limit: 10, ending_before: made[0] })) seen.push(customer.id);
  assert.deepEqual(seen, made.slice(1));
});

test('a subscription pays, and a bad card is declined as the library expects', async (t) => {
  const stripe = await account(t);
  const customer = await stripe.customers.create({ email: 'ada@example.test' });
  const method = await stripe.paymentMethods.attach('pm_card_visa', { customer: customer.id });
  await stripe.customers.update(customer.id, { invoice_settings: { default_payment_method: method.id } });
  const product = await stripe.products.create({ name: 'Pro' });
  const price = await stripe.prices.create({
    product: product.id,
    currency: 'eur',
    unit_amount: 2900,
    recurring: { interval: 'month' },
  });
  const subscription = await stripe.subscriptions.create({
    customer: customer.id,
    items: [{ price: price.id }],
    expand: ['latest_invoice'],
  });
  assert.equal(subscription.status, 'active');
  assert.deepEqual([subscription.latest_invoice.status, subscription.latest_invoice.amount_paid], ['paid', 2900]);
  await assert.rejects(
    stripe.paymentIntents.create({
      amount: 500,
      currency: 'eur',
      payment_method: 'pm_card_chargeDeclined',
      confirm: true,
      automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
    }),
    (error) => error.type === 'StripeCardError' && error.code === 'card_declined',
  );
});

test('deliveries carry a signature that the library accepts', async (t) => {
  const stripe = await account(t);
  const received = [];
  const receiver = createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      received.push([Buffer.concat(pieces), request.headers['stripe-signature']]);
      response.end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  t.after(() => receiver.close());
  const url = `http://127.0.0.1:${receiver.address().port}/hook`;
  const endpoint = await stripe.webhookEndpoints.create({ url, enabled_events: ['*'] });
  const customer = await stripe.customers.create({ name: 'Ada' });
  const [body, signature] = await eventually('a delivery', async () => received[0]);
  const event = stripe.webhooks.constructEvent(body, signature, endpoint.secret);
  assert.deepEqual([event.type, event.data.object.id], ['customer.created', customer.id]);
  assert.throws(() => stripe.webhooks.constructEvent(`${body} `, signature, endpoint.secret));
});
