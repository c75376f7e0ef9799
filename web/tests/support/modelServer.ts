/**
 * An OpenAI-compatible model server whose replies the tests script: by text, in pieces, with pauses
 * that a test ends.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Script {
  readonly pieces: readonly string[];
  /** Between two pieces, on average: a late one does not delay those after it. */
  readonly pauseMs?: number;
  /** Waits before the piece with this index until `release` is called. */
  readonly holdBefore?: number;
  /** Breaks the connection after so many pieces. */
  readonly failsAfter?: number;
}

interface ChatRequest {
  messages: Array<{ role: string; content: string }>;
  stream?: boolean;
}

export class ModelServer {
  readonly prompts: ChatRequest['messages'][] = [];
  private readonly scripts = new Map<string, Script>();
  private readonly held = new Map<string, Array<() => void>>();
  private readonly released = new Set<string>();
  private readonly server = createServer((request, response) => {
    void this.answer(request, response).catch(() => response.destroy());
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  /** The reply to a message with this text; without one it is `Answer to: ` and the message. */
  script(message: string, script: Script): void {
    this.scripts.set(message, script);
    this.released.delete(message);
  }

  /** Ends the pause of the replies to this message. */
  release(message: string): void {
    this.released.add(message);
    for (const go of this.held.get(message) ?? []) go();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') {
      json(response, { object: 'list', data: [{ id: 'scripted', object: 'model' }] });
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { messages, stream } = JSON.parse(Buffer.concat(chunks).toString()) as ChatRequest;
    const last = messages.at(-1)?.content ?? '';
    this.prompts.push(messages);
    const script = this.scripts.get(last) ?? { pieces: [`Answer to: ${last}`] };
    if (!stream) {
      json(response, {
        id: 'x',
        object: 'chat.completion',
        created: 0,
        model: 'scripted',
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: script.pieces.join('') },
            finish_reason: 'stop',
          },
        ],
        usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
      });
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let due = Date.now();
    for (const [index, piece] of script.pieces.entries()) {
      if (index === script.holdBefore) {
        await this.hold(last);
        due = Date.now();
      }
      if (index === script.failsAfter) break;
      if (response.destroyed) return;
      response.write(chunk({ content: piece }, null));
      due += script.pauseMs ?? 0;
      const wait = due - Date.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    }
    if (script.failsAfter !== undefined) {
      response.destroy();
      return;
    }
    response.write(chunk({}, 'stop'));
    response.end('data: [DONE]\n\n');
  }

  private hold(message: string): Promise<void> {
    if (this.released.has(message)) return Promise.resolve();
    return new Promise((resolve) => {
      this.held.set(message, [...(this.held.get(message) ?? []), resolve]);
    });
  }
}

function chunk(delta: object, finishReason: string | null): string {
  const choices = [{ index: 0, delta, finish_reason: finishReason }];
  const body = { id: 'x', object: 'chat.completion.chunk', created: 0, model: 'scripted', choices };
  return `data: ${JSON.stringify(body)}\n\n`;
}

function json(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
