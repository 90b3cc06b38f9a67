/**
 * A message of the library as a sentence of the page: the library's are made to stand behind "error: ", and so begin
 * in lower case and end without a stop. A name, a number or a path at the beginning stays as it is.
 */
export function asSentence(message: string): string {
  const text = message.trim();
  const begun = text.replace(/^[a-z][a-z'’-]*(?=[\s,:;]|$)/, (word) => word[0]!.toUpperCase() + word.slice(1));
  return /[.!?…:]["')\]]*$|`$|^$/.test(begun) ? begun : `${begun}.`;
}
