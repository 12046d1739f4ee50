import { useEffect, useState } from 'preact/hooks';
import { Fault, faultOf } from '../faults.js';
import type { Failed } from '../service.js';
import { go, view } from '../state.js';
import { OPERATORS, type Operator, withCondition } from './condition.js';

/** The parameters of calls that have a field here. */
export const FILTER_FIELDS = ['keyPrefix', 'where', 'deleted'];

/**
 * Which entities of a type are shown: by their keys, by what they hold, and of the deleted ones.
 * @param error why the last answer failed: what is about a field is said at the field
 * @param properties names to choose from
 * @param parts what the call that lists them can filter by
 */
export function Filters({
  error,
  properties,
  parts = ['prefix', 'deleted', 'where'],
}: {
  error: Failed | undefined;
  properties: readonly string[];
  parts?: readonly ('prefix' | 'deleted' | 'where')[];
}) {
  const { prefix, where, deleted } = view.value;
  const [isBuilding, setBuilding] = useState(false);
  const [text, setText] = useState(where ?? '');
  useEffect(() => setText(where ?? ''), [where]);
  const wrongPrefix = faultOf(error, ['keyPrefix']);
  const wrongWhere = faultOf(error, ['where']);
  return (
    <section class="filters" aria-label="Filters">
      {parts.includes('prefix') && (
        <>
          <label class="field">
            Keys begin with
            <input
              class="prefix"
              value={prefix ?? ''}
              aria-invalid={wrongPrefix !== undefined}
              aria-describedby={wrongPrefix === undefined ? undefined : 'prefix-fault'}
              onInput={({ currentTarget }) => go({ prefix: currentTarget.value || undefined }, 'replace')}
            />
          </label>
          <Fault id="prefix-fault" fault={wrongPrefix} />
        </>
      )}
      {parts.includes('deleted') && (
        <label class="field">
          Deleted ones
          <select
            value={deleted ?? ''}
            onChange={({ currentTarget: { value } }) =>
              go({ deleted: value === 'include' || value === 'only' ? value : undefined })
            }
          >
            <option value="">not shown</option>
            <option value="include">shown as well</option>
            <option value="only">only those</option>
          </select>
        </label>
      )}
      <label class="field wide">
        Where
        <input
          class="where"
          value={text}
          placeholder='{"region": "Europe", "area": {"gte": 1000}}'
          spellcheck={false}
          autocomplete="off"
          aria-invalid={wrongWhere !== undefined}
          aria-describedby={wrongWhere === undefined ? undefined : 'where-fault'}
          onInput={({ currentTarget }) => setText(currentTarget.value)}
          onChange={() => go({ where: text.trim() || undefined })}
        />
      </label>
      <button type="button" aria-expanded={isBuilding} onClick={() => setBuilding(!isBuilding)}>
        Add a condition
      </button>
      {(prefix !== undefined || where !== undefined || deleted !== undefined) && (
        <button
          type="button"
          class="quiet"
          onClick={() => go({ prefix: undefined, where: undefined, deleted: undefined })}
        >
          Clear
        </button>
      )}
      <Fault id="where-fault" fault={wrongWhere} />
      {isBuilding && <Builder where={where} properties={properties} />}
    </section>
  );
}

/** Adds a condition to the filter: a property, an operator, and a value. */
function Builder({ where, properties }: { where: string | undefined; properties: readonly string[] }) {
  const [operator, setOperator] = useState<Operator>('eq');
  const [isWrong, setWrong] = useState(false);
  return (
    <form
      class="builder"
      aria-label="A condition"
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        const [property, value] = [form.get('property'), form.get('value')];
        if (typeof property !== 'string' || property === '') return;
        const next = withCondition(where, property, operator, typeof value === 'string' ? value : 'true');
        setWrong(next === null);
        if (next === null) return;
        event.currentTarget.reset();
        setOperator('eq');
        go({ where: next });
      }}
    >
      <label class="field">
        Property
        <input name="property" list="filter-properties" required autocomplete="off" />
      </label>
      <datalist id="filter-properties">
        {properties.map((property) => (
          <option key={property} value={property} />
        ))}
      </datalist>
      <label class="field">
        <span class="unseen">Operator</span>
        <select
          value={operator}
          onChange={({ currentTarget: { value } }) =>
            setOperator(OPERATORS.find(([known]) => known === value)?.[0] ?? 'eq')
          }
        >
          {OPERATORS.map(([name, says]) => (
            <option key={name} value={name}>
              {says}
            </option>
          ))}
        </select>
      </label>
      {operator === 'exists' ? (
        <label class="field">
          <span class="unseen">Whether it is set</span>
          <select name="value">
            <option value="true">yes</option>
            <option value="false">no</option>
          </select>
        </label>
      ) : (
        <label class="field">
          Value
          <input
            name="value"
            autocomplete="off"
            placeholder={operator === 'in' ? 'several, with commas between' : 'JSON, or a text'}
          />
        </label>
      )}
      <button type="submit">Add</button>
      {isWrong && (
        <span class="fault" role="alert">
          The filter so far is no JSON object: mend it, or clear it.
        </span>
      )}
    </form>
  );
}
