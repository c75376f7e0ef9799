/** A model of the server: versions, keys, one open turn, and replies that grow. */
import { Problem } from '../../api/problem';
import type { HistoryPage, Sending } from '../sessionState';
import type { Message, ReplyEnded, Session, Turn, TurnStarted } from '../turnEvents';

const SESSION_ID = 'session';
const TIME = '2026-11-29T10:00:00.000000Z';

interface ModelTurn {
  readonly id: string;
  readonly replyId: string;
  readonly message: Message;
  readonly text: string;
  place: number;
  reply: Message | null;
}

export class ModelServer {
  version = 1;
  readonly messages: Message[] = [];
  readonly keys = new Map<string, { body: string; turn: ModelTurn }>();
  private open: ModelTurn | null = null;
  private readonly turns = new Map<string, ModelTurn>();

  /** Throws Problem as the gateway answers. */
  post(sending: Sending, text: string): TurnStarted {
    const body = JSON.stringify([sending.content, sending.parentId, sending.regenerates]);
    const known = this.keys.get(sending.key);
    if (known) {
      if (known.body !== body) throw new Problem(422, 'idempotency_key_reused', '');
      return this.started(known.turn);
    }
    if (this.open) throw new Problem(409, 'turn_open', '');
    const number = this.turns.size + 1;
    const asked = this.messages.find((each) => each.id === sending.regenerates);
    if (!asked) this.version++;
    const message = asked ?? this.message(`m${number}`, 'user', sending.content, sending.parentId);
    if (!asked) this.messages.push(message);
    this.version++;
    const turn: ModelTurn = {
      id: `t${number}`,
      replyId: `r${number}`,
      message,
      text,
      place: 0,
      reply: null,
    };
    this.turns.set(turn.id, turn);
    this.keys.set(sending.key, { body, turn });
    this.open = turn;
    return this.started(turn);
  }

  get openTurnId(): string | null {
    return this.open?.id ?? null;
  }

  /** The text of a turn from a place on, as a resumed stream has it. */
  deltaAfter(turnId: string, place: number, count: number): { delta: string; place: number } {
    const turn = this.turn(turnId);
    const end = Math.min([...turn.text].length, place + count);
    turn.place = Math.max(turn.place, end);
    return { delta: [...turn.text].slice(place, end).join(''), place: end };
  }

  end(status: Message['status'] = 'completed'): void {
    if (!this.open) return;
    const turn = this.open;
    const content =
      status === 'completed' ? turn.text : [...turn.text].slice(0, turn.place).join('');
    this.version++;
    turn.reply = {
      ...this.message(turn.replyId, 'assistant', content, turn.message.id),
      status,
      turn_id: turn.id,
    };
    this.messages.push(turn.reply);
    this.open = null;
  }

  ended(turnId: string): ReplyEnded | null {
    const turn = this.turn(turnId);
    if (!turn.reply) return null;
    return {
      type: 'reply.completed',
      sequence_number: [...turn.reply.content].length,
      turn_id: turn.id,
      message: turn.reply,
      version: turn.reply.version,
    };
  }

  read(turnId: string): Turn {
    const turn = this.turn(turnId);
    return {
      object: 'turn',
      id: turn.id,
      session_id: SESSION_ID,
      status: turn.reply?.status ?? 'running',
      message: turn.message,
      reply_id: turn.replyId,
      reply: turn.reply,
      version: this.version,
    };
  }

  session(): Session {
    return {
      object: 'session',
      id: SESSION_ID,
      assistant_id: 'helper',
      title: null,
      metadata: {},
      archived: false,
      legal_hold: false,
      open_turn_id: this.openTurnId,
      version: this.version,
      created_at: TIME,
      updated_at: TIME,
    };
  }

  page(): HistoryPage {
    return { messages: this.messages.toReversed(), version: this.version, hasMore: false };
  }

  private started(turn: ModelTurn): TurnStarted {
    return {
      type: 'turn.started',
      sequence_number: 0,
      session_id: SESSION_ID,
      turn_id: turn.id,
      message_id: turn.message.id,
      reply_id: turn.replyId,
      version: turn.message.version + 1,
      stream_url: '',
    };
  }

  private turn(id: string): ModelTurn {
    const turn = this.turns.get(id);
    if (!turn) throw new Problem(404, 'turn_not_found', '');
    return turn;
  }

  private message(
    id: string,
    role: Message['role'],
    content: string,
    parent: string | null | undefined,
  ): Message {
    return {
      object: 'message',
      id,
      session_id: SESSION_ID,
      turn_id: null,
      parent_message_id: parent ?? null,
      role,
      content,
      status: 'completed',
      version: this.version,
      created_at: TIME,
    };
  }
}
