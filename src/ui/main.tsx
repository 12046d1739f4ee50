import { render } from 'preact';

const place = document.getElementById('app');
if (place)
  render(
    <main>
      <h1>clocktick</h1>
    </main>,
    place,
  );
