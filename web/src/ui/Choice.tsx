import { useId } from 'react';

interface Properties<Value extends string> {
  label: string;
  value: Value;
  options: ReadonlyArray<readonly [Value, string]>;
  onChange: (value: Value) => void;
}

/** Radio buttons in a row. */
export function Choice<Value extends string>(properties: Properties<Value>) {
  const { label, value, options, onChange } = properties;
  const name = useId();
  return (
    <fieldset className="choice">
      <legend>{label}</legend>
      <div className="segments">
        {options.map(([option, text]) => (
          <label key={option} lang={option === 'zh-Hans' ? 'zh-Hans' : undefined}>
            <input
              type="radio"
              name={name}
              value={option}
              checked={option === value}
              onChange={() => onChange(option)}
            />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
