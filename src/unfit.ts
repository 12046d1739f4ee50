/** Says once what to do about a server or database that cannot serve; a message for whoever runs the service. */
export class Unfit extends Error {
  override readonly name = 'Unfit';
}
