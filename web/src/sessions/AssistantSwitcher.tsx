import { useId } from 'react';
import { useText } from '../i18n/language';
import type { Assistant } from './queries';

interface Properties {
  assistants: readonly Assistant[];
  selectedId: string | null;
  onSelect: (assistant: Assistant) => void;
}

export function AssistantSwitcher({ assistants, selectedId, onSelect }: Properties) {
  const t = useText();
  const name = useId();
  return (
    <fieldset className="assistants">
      <legend>{t.assistants}</legend>
      {assistants.map((assistant) => (
        <label key={assistant.id} title={assistant.description || undefined}>
          <input
            type="radio"
            name={name}
            value={assistant.id}
            checked={assistant.id === selectedId}
            onChange={() => onSelect(assistant)}
          />
          <span className="avatar" aria-hidden="true" data-hue={hueOf(assistant.id)}>
            {[...assistant.name][0]?.toUpperCase()}
          </span>
          <span className="name" dir="auto">
            {assistant.name}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

/** One of six colours, always the same for an assistant. */
export function hueOf(id: string): number {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 997;
  return sum % 6;
}
