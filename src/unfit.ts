/** A server or database that cannot serve. The message is for whoever runs the service, and says what to do about it. */
export class Unfit extends Error {
  override readonly name = 'Unfit';
}
