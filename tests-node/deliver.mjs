// Signs with the official library and posts as Stripe does.
import { randomBytes } from 'node:crypto';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_unused');

export const secret = 'whsec_8d1f0a6be3c94b57a2e61f3d70c5984b';
export const otherSecret = 'whsec_51c7e2f90ab84d36b8f3a9d06e17c42d';

export const id = (prefix) => `${prefix}_${randomBytes(12).toString('hex')}`;

/** An event around an object, as Stripe sends it. */
export function event(type, object, created = Math.floor(Date.now() / 1000)) {
  return {
    id: id('evt'),
    object: 'event',
    api_version: '2025-09-30.clover',
    created,
    data: { object },
    livemode: false,
    pending_webhooks: 1,
    request: { id: null, idempotency_key: null },
    type,
  };
}

export function customer(fields = {}) {
  return {
    id: id('cus'),
    object: 'customer',
    balance: 0,
    created: 1750000000,
    currency: 'eur',
    delinquent: false,
    description: null,
    email: 'erika@example.com',
    livemode: false,
    metadata: { plan: 'workshop', 'a "quoted" key': 'ü' },
    name: 'Erika Beispiel',
    ...fields,
  };
}

/** The header Stripe's own library makes for a text. */
export function header(payload, { with: key = secret, timestamp, scheme } = {}) {
  return stripe.webhooks.generateTestHeaderString({ payload, secret: key, timestamp, scheme });
}

/** What Stripe's own library says about a delivery. */
export function acceptedByLibrary(payload, signature, key = secret) {
  try {
    stripe.webhooks.constructEvent(payload, signature, key);
    return true;
  } catch {
    return false;
  }
}

/** Posts a text under a signature; without one when it is undefined. */
export async function post(base, payload, signature) {
  const headers = { 'content-type': 'application/json; charset=utf-8' };
  if (signature !== undefined) headers['stripe-signature'] = signature;
  const response = await fetch(`${base}/webhooks`, { method: 'POST', body: payload, headers });
  return { status: response.status, text: await response.text() };
}
