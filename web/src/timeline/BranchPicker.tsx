import type { KeyboardEvent } from 'react';
import { useText } from '../i18n/language';
import { Icon } from '../ui/icons';
import type { Branches } from './rows';

interface Properties {
  branches: Branches;
  onSelect: (id: string) => void;
}

export function BranchPicker({ branches: { index, ids }, onSelect }: Properties) {
  const t = useText();
  const select = (step: number): void => {
    const id = ids[index + step];
    if (id) onSelect(id);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'ArrowLeft') select(-1);
    if (event.key === 'ArrowRight') select(1);
  };
  return (
    <fieldset className="branches" onKeyDown={onKeyDown}>
      <legend className="visually-hidden">{t.branchOf(index + 1, ids.length)}</legend>
      <button
        type="button"
        className="icon-button small"
        aria-label={t.previousBranch}
        aria-disabled={index === 0}
        onClick={() => select(-1)}
      >
        <Icon name="left" />
      </button>
      <span aria-hidden="true">
        {index + 1}/{ids.length}
      </span>
      <button
        type="button"
        className="icon-button small"
        aria-label={t.nextBranch}
        aria-disabled={index === ids.length - 1}
        onClick={() => select(1)}
      >
        <Icon name="right" />
      </button>
    </fieldset>
  );
}
