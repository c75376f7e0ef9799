/** What the rows of the timeline ask of the session: another wording, another answer. */
import type { SessionController } from '../turns/sessionController';
import type { Sending } from '../turns/sessionState';
import type { Message } from '../turns/turnEvents';

export function submitEdit(controller: SessionController, message: Message, content: string): void {
  submit(controller, message, { content, parentId: message.parent_message_id });
}

export function regenerate(controller: SessionController, reply: Message): void {
  if (!reply.parent_message_id) return;
  submit(controller, reply, { content: '', regenerates: reply.parent_message_id });
}

function submit(
  controller: SessionController,
  { session_id }: Message,
  what: Pick<Sending, 'content' | 'parentId' | 'regenerates'>,
): void {
  controller.dispatch({
    type: 'submitted',
    sending: {
      ...what,
      key: crypto.randomUUID(),
      sessionId: session_id,
      at: Date.now(),
      state: 'queued',
      tries: 0,
      stop: false,
    },
  });
}
