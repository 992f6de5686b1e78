using System.Collections.Concurrent;

namespace Genfence.AspNetCore.OutputCaching;

/// <summary>
/// Tags that responses got while they were rendered, by their keys: the next time they are named before. Too many is no harm, as the response then bears
/// more than it has.
/// </summary>
internal sealed class LateTags
{
    /// <summary>Of so many keys; then all are forgotten, and learnt again.</summary>
    public const int MaxKeys = 4096;

    private readonly ConcurrentDictionary<string, string[]> _byKey = new(StringComparer.Ordinal);

    public string[] Of(string key) => _byKey.TryGetValue(key, out var tags) ? tags : [];

    public void Remember(string key, ReadOnlyMemory<string> tags)
    {
        if (_byKey.Count >= MaxKeys)
        {
            _byKey.Clear();
        }
        _byKey[key] = tags.ToArray();
    }
}
