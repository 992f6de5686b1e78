namespace Genfence;

/// <summary>
/// A value as the source has it. <see langword="null"/> says that the source has nothing for the
/// key, which is remembered, too.
/// </summary>
/// <typeparam name="T">The value's type.</typeparam>
/// <param name="Value">The value.</param>
/// <param name="Version">
/// Its version, where the source has versions: from 0, only growing for each key, also through a
/// delete and a new insert.
/// </param>
/// <param name="TimeToLive">
/// How long to keep it, rounded up to whole seconds, at most 10 years; else the cache's own time.
/// </param>
public readonly record struct Fresh<T>(T Value, long? Version = null, TimeSpan? TimeToLive = null);
