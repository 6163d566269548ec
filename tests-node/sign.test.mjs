// Deliveries signed by the official library are accepted; whatever it would refuse is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acceptedByLibrary, customer, event, header, otherSecret, post, secret } from './deliver.mjs';
import { serve, sqlite } from './program.mjs';

const TOLERANCE_SECONDS = 300;
const now = () => Math.floor(Date.now() / 1000);

test('a delivery signed by the official library is accepted, and so is its repetition', async (t) => {
  const base = await serve(t, { databaseUrl: sqlite(t), secrets: [secret] });
  const payload = JSON.stringify(event('customer.created', customer()), null, 2);
  for (let round = 0; round < 2; round++) {
    const answer = await post(base, payload, header(payload));
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, { received: true }]);
  }
});

test('what the official library refuses is refused, always with the same words', async (t) => {
  const base = await serve(t, { databaseUrl: sqlite(t), secrets: [secret] });
  const payload = JSON.stringify(event('customer.created', customer()));
  const good = header(payload);
  const last = good.at(-1) === '0' ? '1' : '0';
  const refused = {
    'one digit changed': [payload, good.slice(0, -1) + last],
    'body changed after signing': [payload.replace('{', '{ '), good],
    'time changed after signing': [payload, good.replace(/t=\d+/, `t=${now() - 1}`)],
    'too old': [payload, header(payload, { timestamp: now() - TOLERANCE_SECONDS - 5 })],
    'only the v0 scheme': [payload, header(payload, { scheme: 'v0' })],
    'signed with another secret': [payload, header(payload, { with: otherSecret })],
    'an empty signature': [payload, `t=${now()},v1=`],
  };
  const words = new Set();
  for (const [what, [body, signature]] of Object.entries(refused)) {
    assert.equal(acceptedByLibrary(body, signature), false, `the official library accepts: ${what}`);
    const answer = await post(base, body, signature);
    assert.equal(answer.status, 400, what);
    words.add(answer.text);
  }
  const unsigned = await post(base, payload, undefined);
  assert.equal(unsigned.status, 400);
  words.add(unsigned.text);
  assert.equal(words.size, 1, [...words].join(' | '));
  assert.match([...words][0], /^Webhook Error: /);
  assert.equal((await post(base, payload, good)).status, 200, 'the untouched delivery');
});

test('during a roll of the secret both the old and the new one count', async (t) => {
  const base = await serve(t, { databaseUrl: sqlite(t), secrets: [secret, otherSecret] });
  for (const key of [secret, otherSecret]) {
    const payload = JSON.stringify(event('customer.created', customer()));
    assert.equal((await post(base, payload, header(payload, { with: key }))).status, 200);
  }
  const payload = JSON.stringify(event('customer.created', customer()));
  // Stripe signs with both while a secret is rolled: two v1 in one header.
  const timestamp = now();
  const [mine] = header(payload, { timestamp }).match(/v1=.*/);
  const both = `${header(payload, { timestamp, with: 'whsec_a_secret_nobody_configured_0000' })},${mine}`;
  assert.equal((await post(base, payload, both)).status, 200);
});
