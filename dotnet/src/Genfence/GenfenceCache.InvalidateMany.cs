using System.Runtime.ExceptionServices;
using Genfence.Native;

namespace Genfence;

public sealed partial class GenfenceCache
{
    /// <summary>
    /// The same as <see cref="InvalidateAsync"/> for many changes, as a stream of the source's changes brings them: sent together
    /// (of more than 1,000 so many, and then the next), and each key once, with the newest of its versions. Their order does not
    /// matter, and to say them again does no harm.
    /// <para>
    /// Once this has ended without an exception every one was applied, and never before: so then the stream's position may be
    /// confirmed. After an exception some were, and all are to be said again.
    /// </para>
    /// </summary>
    /// <param name="changes">Keys, and the versions that the source gave the changes, where it has versions.</param>
    /// <param name="cancellationToken">Ends the wait, not the invalidations.</param>
    /// <returns>When all are done.</returns>
    /// <exception cref="GenfenceInvalidException">A key or a version is out of bounds: nothing of its thousand was sent.</exception>
    public async ValueTask InvalidateManyAsync(
        IEnumerable<(string Key, long? Version)> changes, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(changes);
        await InvalidateManyAsync(changes, 0, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask InvalidateManyAsync(
        IEnumerable<(string Key, long? Version)> changes, uint flags, CancellationToken cancellationToken)
    {
        // What has no version is something else than what has one: it removes whatever there is.
        var newest = new Dictionary<(string Key, bool HasVersion), long?>();
        foreach (var (key, version) in changes)
        {
            var place = (key, version is not null);
            if (!newest.TryGetValue(place, out var known) || version > known)
            {
                newest[place] = version;
            }
        }
        GenfenceStoreException? failed = null;
        foreach (var some in newest.Chunk(Together))
        {
            var requests = Array.ConvertAll(some, one => new Request(Op.Invalidate) { Key = one.Key.Key, Flags = flags }.With(one.Value));
            try
            {
                foreach (var result in await AllAsync(requests, cancellationToken).ConfigureAwait(false))
                {
                    result.Status.MustBe(Status.Done);
                }
            }
            catch (GenfenceStoreException error)
            {
                // What one of them meets costs no other.
                failed ??= error;
            }
        }
        if (failed is not null)
        {
            ExceptionDispatchInfo.Throw(failed);
        }
    }
}
