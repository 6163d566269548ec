// Starts the real program for a test, with a clean environment, in a working directory of its own.
//
// BILLHOOK_BINARY names the program, TEST_DATABASE_URL a PostgreSQL server as superuser; `cargo xtask test` sets both.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import pg from 'pg';

const START_SECONDS_MAX = 60;
const CONDITION_SECONDS_MAX = 30;

export const binary = process.env.BILLHOOK_BINARY;
assert.ok(binary, 'BILLHOOK_BINARY must name the program: run these tests with `cargo xtask test`');

/** Reason to skip what needs PostgreSQL, or false. In CI a missing server fails the test instead. */
export const withoutPostgres =
  process.env.TEST_DATABASE_URL || process.env.CI ? false : 'no PostgreSQL server (TEST_DATABASE_URL is not set)';

/** A directory that is removed after the test. */
export function directory(test) {
  const path = mkdtempSync(join(tmpdir(), 'billhook-node-'));
  test.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** URL of an SQLite file that does not exist yet. */
export function sqlite(test) {
  return `sqlite:${join(directory(test), 'billhook.db')}`;
}

/** URL of an empty PostgreSQL database that is dropped after the test. */
export async function postgres(test) {
  const server = new URL(process.env.TEST_DATABASE_URL);
  const name = `billhook_node_${randomBytes(8).toString('hex')}`;
  const run = async (statement) => {
    const client = new pg.Client({ connectionString: server.href });
    await client.connect();
    await client.query(statement);
    await client.end();
  };
  await run(`CREATE DATABASE ${name}`);
  test.after(() => run(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

/** Runs `serve`; gives its base URL once it listens. It is stopped after the test. */
export function serve(test, { databaseUrl, secrets }) {
  const environment = { DATABASE_URL: databaseUrl, STRIPE_WEBHOOK_SECRET: secrets.join(',') };
  return listening(test, ['serve', '--listen', '127.0.0.1:0'], environment);
}

/** Runs a command that serves; gives its base URL once it listens. It is stopped after the test. */
export async function listening(test, args, environment) {
  const child = spawn(binary, args, {
    cwd: directory(test),
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  test.after(async () => {
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), START_SECONDS_MAX * 1000);
    await ended;
    clearTimeout(late);
  });
  const log = [];
  const listening = new Promise((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line);
      const address = line.includes('listening') && line.match(/127\.0\.0\.1:\d+/);
      if (address) resolve(`http://${address[0]}`);
    });
  });
  let timer;
  const failed = new Promise((_, reject) => {
    const fail = (why) => reject(new Error(`the program ${why}:\n${log.join('\n')}`));
    timer = setTimeout(() => fail('does not say where it listens'), START_SECONDS_MAX * 1000);
    ended.then((status) => fail(`ended with ${status}`));
  });
  try {
    return await Promise.race([listening, failed]);
  } finally {
    clearTimeout(timer);
    failed.catch(() => {});
  }
}

/** Runs another command of the program to its end and gives its standard output. */
export async function command(test, args, environment = {}) {
  const options = { cwd: directory(test), env: { PATH: process.env.PATH, ...environment }, maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)(binary, args, options);
  return stdout;
}

/** Asks until the answer is not undefined. */
export async function eventually(what, ask) {
  const deadline = Date.now() + CONDITION_SECONDS_MAX * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${CONDITION_SECONDS_MAX} s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
