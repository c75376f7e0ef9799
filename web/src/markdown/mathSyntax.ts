/**
 * Mathematics in Markdown: `$$…$$`, `\(…\)` and `\[…\]`. A single dollar is never a mark of it:
 * prices are more frequent than formulas.
 */
import type { Extension as TreeExtension } from 'mdast-util-from-markdown';
import type { Construct, Extension, State, Tokenizer } from 'micromark-util-types';

export interface InlineMath {
  type: 'inlineMath';
  value: string;
  isDisplay: boolean;
  position?: { start: { offset?: number }; end: { offset?: number } };
}

declare module 'mdast' {
  interface PhrasingContentMap {
    inlineMath: InlineMath;
  }
  interface RootContentMap {
    inlineMath: InlineMath;
  }
}

declare module 'micromark-util-types' {
  interface TokenTypeMap {
    math: 'math';
    mathMark: 'mathMark';
    mathText: 'mathText';
  }
}

const DOLLAR = 36;
const BACKSLASH = 92;
const CLOSING: Record<number, number> = { 36: 36, 40: 41, 91: 93 };
// An opening mark that is never closed must not hold the parser.
const MAX_LENGTH = 1_500;
// Characters of one text that may be looked at in vain.
const MAX_IN_VAIN = 6_000;
let inVain = 0;

const tokenize: Tokenizer = (effects, ok, nok) => {
  let mark: number | null = null;
  let closing = 0;
  let length = 0;

  const close: Construct = {
    partial: true,
    tokenize(inner, closed, open) {
      const first: State = (code) => {
        inner.enter('mathMark');
        inner.consume(code);
        return second;
      };
      const second: State = (code) => {
        if (code !== closing) return open(code);
        inner.consume(code);
        inner.exit('mathMark');
        return closed;
      };
      return first;
    },
  };

  const start: State = (code) => {
    mark = code;
    effects.enter('math');
    effects.enter('mathMark');
    effects.consume(code);
    return opened;
  };
  const opened: State = (code) => {
    if (inVain > MAX_IN_VAIN) return nok(code);
    const isMark = mark === DOLLAR ? code === DOLLAR : code === 40 || code === 91;
    if (!isMark || code === null) return nok(code);
    closing = CLOSING[code] ?? 0;
    effects.consume(code);
    effects.exit('mathMark');
    return between;
  };
  const between: State = (code) => {
    if (code === null || length > MAX_LENGTH) {
      inVain += length;
      return nok(code);
    }
    if (isLineEnding(code)) {
      effects.enter('lineEnding');
      effects.consume(code);
      effects.exit('lineEnding');
      length++;
      return between;
    }
    if (code === mark && length > 0) return effects.attempt(close, end, text)(code);
    return text(code);
  };
  const text: State = (code) => {
    effects.enter('mathText');
    return inText(code, true);
  };
  const inText = (code: Parameters<State>[0], isFirst = false): State | undefined => {
    if (code === null || isLineEnding(code) || (code === mark && !isFirst)) {
      effects.exit('mathText');
      return between(code);
    }
    effects.consume(code);
    length++;
    return (next) => inText(next);
  };
  const end: State = (code) => {
    effects.exit('math');
    return ok(code);
  };
  return start;
};

function isLineEnding(code: number): boolean {
  return code < -2;
}

const construct: Construct = { name: 'math', tokenize };

/** Before each text: what one of them costs is no fault of the next. */
export function startMath(): void {
  inVain = 0;
}

export const mathSyntax: Extension = {
  text: { [DOLLAR]: construct, [BACKSLASH]: construct },
};

export const mathTree: TreeExtension = {
  enter: {
    math(token) {
      this.enter({ type: 'inlineMath', value: '', isDisplay: false }, token);
    },
  },
  exit: {
    math(token) {
      const source = this.sliceSerialize(token);
      const node = this.stack.at(-1);
      if (node?.type === 'inlineMath') {
        node.value = source.slice(2, -2).trim();
        node.isDisplay = !source.startsWith('\\(');
      }
      this.exit(token);
    },
  },
};
