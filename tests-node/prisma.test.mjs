// The schema that `billhook prisma` writes is accepted by the real Prisma, and its client reads what real deliveries wrote.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { customer, event, header, id, post, secret } from './deliver.mjs';
import { command, eventually, postgres, serve, sqlite, withoutPostgres } from './program.mjs';

const run = promisify(execFile);
const here = import.meta.dirname;
// Prisma would download an engine that `validate` and `generate` do not use, and look for newer versions.
const quiet = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true', CHECKPOINT_DISABLE: '1' };

const config = `
import { defineConfig } from 'prisma/config';
export default defineConfig({ schema: 'schema.prisma', datasource: { url: process.env.DATABASE_URL } });
`;

// Runs in a process of its own, since the generated client is TypeScript.
const reader = `
import { PrismaClient } from './generated/client.ts';
const url = process.env.DATABASE_URL;
const adapter = url.startsWith('file:')
  ? new (await import('@prisma/adapter-better-sqlite3')).PrismaBetterSqlite3({ url })
  : new (await import('@prisma/adapter-pg')).PrismaPg({ connectionString: url }, { schema: 'stripe' });
const prisma = new PrismaClient({ adapter });
const { model, where } = JSON.parse(process.argv[2]);
const rows = await prisma[model].findMany({ where });
console.log(JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? Number(value) : value)));
await prisma.$disconnect();
`;

/** Generates a client for the provider; gives a function that reads rows with it. */
async function client(t, provider, databaseUrl) {
  // Beside node_modules, where the generated code finds its packages.
  const folder = mkdtempSync(join(here, 'generated-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'schema.prisma'), await command(t, ['prisma', '--provider', provider], { DATABASE_URL: databaseUrl }));
  writeFileSync(join(folder, 'prisma.config.ts'), config);
  writeFileSync(join(folder, 'read.mts'), reader);
  const options = {
    cwd: folder,
    env: { ...quiet, DATABASE_URL: databaseUrl.replace(/^sqlite:/, 'file:') },
    maxBuffer: 64 * 1024 * 1024,
  };
  const prisma = join(here, 'node_modules', 'prisma', 'build', 'index.js');
  await run(process.execPath, [prisma, 'validate', '--config', 'prisma.config.ts'], options);
  await run(process.execPath, [prisma, 'generate', '--config', 'prisma.config.ts'], options);
  return async (model, where) => {
    const query = JSON.stringify({ model, where });
    const { stdout } = await run(process.execPath, ['--import', 'tsx', 'read.mts', query], options);
    return JSON.parse(stdout);
  };
}

async function readsWhatWasDelivered(t, provider, databaseUrl) {
  const base = await serve(t, { databaseUrl, secrets: [secret] });
  const buyer = customer({ balance: -4200, name: 'Jörg "Joe" 🦊' });
  const charge = {
    id: id('ch'), object: 'charge', amount: 5_000_000_000, captured: true, created: 1750000001, currency: 'eur',
    customer: buyer.id, livemode: false, metadata: {}, paid: true, refunded: false, status: 'succeeded',
  };
  for (const delivered of [event('customer.created', buyer), event('charge.succeeded', charge)]) {
    const payload = JSON.stringify(delivered);
    assert.equal((await post(base, payload, header(payload))).status, 200);
  }
  const read = await client(t, provider, databaseUrl);
  const [row] = await eventually('the customer', async () => {
    const rows = await read('customers', { id: buyer.id });
    return rows.length > 0 ? rows : undefined;
  });
  assert.deepEqual(
    [row.id, row.name, row.email, row.balance, row.delinquent, row.created, row.metadata],
    [buyer.id, buyer.name, buyer.email, -4200, false, 1750000000, buyer.metadata],
  );
  const [paid] = await eventually('the charge', async () => {
    const rows = await read('charges', { customer: buyer.id, amount: { gt: 4_999_999_999 } });
    return rows.length > 0 ? rows : undefined;
  });
  assert.deepEqual([paid.id, paid.amount, paid.paid, paid.raw_data.object], [charge.id, 5_000_000_000, true, 'charge']);
  const events = await read('events', { type: 'charge.succeeded' });
  assert.equal(events.length, 1);
  assert.deepEqual(await read('invoices', {}), []);
}

test('Prisma reads the mirror on SQLite', async (t) => {
  await readsWhatWasDelivered(t, 'sqlite', sqlite(t));
});

test('Prisma reads the mirror on PostgreSQL', { skip: withoutPostgres }, async (t) => {
  await readsWhatWasDelivered(t, 'postgresql', await postgres(t));
});
