namespace Genfence;

/// <summary>
/// Says in which region a key is at home, by the region's name. It must say the same in all programs and for ever. It is called for every
/// operation, on any thread, often on several at the same time, and must not use the cache. An operation on a key of which it says a region
/// that is not there, or throws, ends with a <see cref="GenfenceInvalidException"/> of <c>home</c>.
/// </summary>
/// <param name="key">The key as the program gives it, in UTF-8, without the prefix.</param>
/// <returns>The name of a region.</returns>
public delegate string HomeRegion(ReadOnlySpan<byte> key);
