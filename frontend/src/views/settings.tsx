/** The few things that can be set. */
import { polling } from '../state/live';
import { retry } from '../state/store';
import { Settings as SettingsIcon } from './icons';
import { Popover } from './popover';

export function Settings() {
  return (
    <Popover label="Settings" class="icon-button" align="end" button={<SettingsIcon />}>
      {(close) => (
        <div class="sheet">
          <h2>Settings</h2>
          <label class="check">
            <input
              type="checkbox"
              checked={polling.value}
              onChange={(event) => {
                polling.value = event.currentTarget.checked;
              }}
            />
            <span>
              Show new data as it is written
              <small>Asks TensorBoard every 2 seconds while this tab is in sight.</small>
            </span>
          </label>
          <button
            type="button"
            class="control"
            onClick={() => {
              retry();
              close();
            }}
          >
            Ask now
          </button>
          <p class="muted">Light and dark follow TensorBoard.</p>
        </div>
      )}
    </Popover>
  );
}
