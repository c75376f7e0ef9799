/** A whole stack, started with `parley up` on a data folder of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ModelServer } from './modelServer';

const ROOT = resolve(import.meta.dirname, '../../..');
const PYTHON = process.env.PARLEY_TEST_PYTHON ?? join(ROOT, '.venv/bin/python');
const READY_MS = 150_000;

// The first one is the default.
const ASSISTANTS = `assistants:
  - id: helper
    name: Helper
    description: Answers anything
    instructions: Answer.
  - id: pirate
    name: Pirate
    description: Speaks like a pirate
    instructions: Speak as a pirate.
  - id: brief
    name: Brief
    description: Forgets everything within seconds
    instructions: Answer.
`;
// Of the last one, some thirteen seconds after the last event.
const POLICIES = `policies:
  - assistant_id: brief
    idle_days: 0.00015
`;

export interface RunningProcess {
  readonly name: string;
  readonly pid: number;
}

export class Stack {
  readonly model = new ModelServer();
  url = '';
  private readonly data = mkdtempSync(join(tmpdir(), 'parley-web-'));
  private process: ChildProcess | null = null;
  private output = '';

  async start(): Promise<void> {
    const [port, modelUrl] = await Promise.all([freePort(), this.model.start()]);
    this.url = `http://127.0.0.1:${port}`;
    const assistants = join(this.data, 'assistants.yaml');
    const policies = join(this.data, 'policies.yaml');
    writeFileSync(assistants, ASSISTANTS);
    writeFileSync(policies, POLICIES);
    this.process = spawn(PYTHON, ['-m', 'parley_cli', 'up'], {
      cwd: ROOT,
      env: {
        ...process.env,
        PARLEY_DATA: this.data,
        PARLEY_PORT: String(port),
        PARLEY_MODEL: 'scripted',
        PARLEY_ASSISTANTS: assistants,
        PARLEY_POLICIES: policies,
        OPENAI_BASE_URL: modelUrl,
        OPENAI_API_KEY: 'sk-test',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const collect = (text: Buffer): void => {
      this.output += text.toString();
    };
    this.process.stdout?.on('data', collect);
    this.process.stderr?.on('data', collect);
    await this.waitUntilReady();
  }

  async stop(): Promise<void> {
    const running = this.process;
    if (running && running.exitCode === null) {
      const ended = new Promise((done) => running.once('exit', done));
      running.kill('SIGTERM');
      await ended;
    }
    this.model.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  token(user: string): string {
    const arguments_ = ['-m', 'parley_cli', 'token', '--user', user];
    return execFileSync(PYTHON, arguments_, {
      cwd: ROOT,
      env: { ...process.env, PARLEY_DATA: this.data },
    })
      .toString()
      .trim();
  }

  /** Kills a process of the stack, which `parley up` starts again. */
  kill(name: string): void {
    const state = JSON.parse(readFileSync(join(this.data, 'stack.json'), 'utf8')) as {
      processes: RunningProcess[];
    };
    const found = state.processes.find((each) => each.name === name);
    if (!found) throw new Error(`The stack has no process ${name}.`);
    process.kill(found.pid, 'SIGKILL');
  }

  private async waitUntilReady(): Promise<void> {
    const deadline = Date.now() + READY_MS;
    while (Date.now() < deadline) {
      if (this.output.includes('Parley is ready')) return;
      if (this.process?.exitCode !== null) break;
      await new Promise((done) => setTimeout(done, 200));
    }
    throw new Error(`The stack did not start:\n${this.output}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('No free port.');
  return address.port;
}
