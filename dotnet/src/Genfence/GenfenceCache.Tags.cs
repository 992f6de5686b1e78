using Genfence.Native;

namespace Genfence;

// Values that bear tags, and groups of them that are purged, or changed, at once.
public sealed partial class GenfenceCache
{
    /// <summary>The cache that this is a handle of.</summary>
    private readonly GenfenceCache? _of;
    private readonly Tags? _tags;

    private GenfenceCache(GenfenceCache cache, Tags? tags, NearHandle? near)
    {
        // It has nothing to close.
        GC.SuppressFinalize(this);
        _of = cache._of ?? cache;
        (_tags, _near) = (tags, near);
        (Connection, Logger, _options, _background) = (cache.Connection, cache.Logger, cache._options, cache._background);
        // Who serves copies shares them with all that do.
        _objects = near is null ? cache._objects : near.KeepsCopies ? _of._objects ?? new NearObjects() : null;
        (_serializers, _unwritable, _unreadable) = (cache._serializers, cache._unwritable, cache._unreadable);
    }

    /// <summary>
    /// This cache, for values that bear these tags, beside those that this handle's bear: all that is stored through it, by
    /// <c>GetOrFillAsync</c>, <c>LookupAsync</c>, <c>UpdateAsync</c>, <c>ReserveAsync</c>, <c>SetAsync</c> and the others. Cheap, and to be kept
    /// where it is used again; it is the same cache, so to dispose of the handle does nothing, and to dispose of the cache ends both.
    /// <para>
    /// A value is found through any handle. <see cref="PurgeTagAsync"/> makes misses of all that bear a tag, at once and with one
    /// command, however many they are.
    /// </para>
    /// </summary>
    /// <param name="tags">At most 32, of 1 to 256 bytes of UTF-8 each; one that is there twice is one. Not <c>*</c>, which every value bears.</param>
    /// <returns>The handle.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// They are out of bounds, or the option <see cref="GenfenceSettings.Tags"/> is off.
    /// </exception>
    public GenfenceCache Tagged(params IEnumerable<string> tags)
    {
        ArgumentNullException.ThrowIfNull(tags);
        var tagged = Bearing(tags);
        Connection.Check(tagged._tags!);
        return tagged;
    }

    /// <summary>As <see cref="Tagged"/>, for one call, which says itself what is wrong with the tags.</summary>
    internal GenfenceCache Bearing(IEnumerable<string> tags) => new(this, new Tags(_tags, tags), _near);

    /// <summary>
    /// Says that the source of all values that bear this tag was changed, by somebody who did not reserve them: none of them is a hit any more, in
    /// any process, and none that is being loaded now is stored so that it would be one.
    /// </summary>
    /// <param name="tag">The tag.</param>
    /// <param name="cancellationToken">Ends the wait, not the purge.</param>
    /// <returns>When it is done, and no copies of the tag are served any more (<see cref="GenfenceSettings.Near"/>).</returns>
    /// <exception cref="GenfenceInvalidException">
    /// The tag is out of bounds, or the option <see cref="GenfenceSettings.Tags"/> is off.
    /// </exception>
    /// <exception cref="GenfenceStoreException">The store did not answer: say it again.</exception>
    public async ValueTask PurgeTagAsync(string tag, CancellationToken cancellationToken = default) =>
        (await Connection.StatusAsync(OfTag(Op.PurgeTag, tag), cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);

    /// <summary>The same as <see cref="PurgeTagAsync"/> of several, sent together. All are tried, also where one fails.</summary>
    /// <param name="tags">The tags.</param>
    /// <param name="cancellationToken">Ends the wait, not the purges.</param>
    /// <returns>When all are done.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// A tag is out of bounds, or the option <see cref="GenfenceSettings.Tags"/> is off: nothing was sent.
    /// </exception>
    /// <exception cref="GenfenceStoreException">The store did not answer for one of them: say all again.</exception>
    public async ValueTask PurgeTagsAsync(IEnumerable<string> tags, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(tags);
        Request[] purges = [.. tags.Distinct(StringComparer.Ordinal).Select(tag => OfTag(Op.PurgeTag, tag))];
        foreach (var result in await AllAsync(purges, cancellationToken).ConfigureAwait(false))
        {
            result.Status.MustBe(Status.Done);
        }
    }

    /// <summary>Purges all values there are: those of every key with this cache's prefix.</summary>
    /// <param name="cancellationToken">Ends the wait, not the purge.</param>
    /// <returns>When it is done.</returns>
    /// <exception cref="GenfenceInvalidException">The option <see cref="GenfenceSettings.Tags"/> is off.</exception>
    /// <exception cref="GenfenceStoreException">The store did not answer: say it again.</exception>
    public ValueTask PurgeAllAsync(CancellationToken cancellationToken = default) => PurgeTagAsync("*", cancellationToken);

    /// <summary>
    /// Reserves all values that bear a tag, before their source is changed: as <see cref="ReserveAsync"/> does for
    /// one key, with one command. From here on none of them is a hit, and none is stored, until it is committed, released or aborted.
    /// There is nothing to store: what is committed is that the source was changed, and its value is not looked at.
    /// </summary>
    /// <param name="tag">The tag; <c>*</c> reserves everything.</param>
    /// <param name="cancellationToken">Ends the wait; a reservation that comes later is aborted.</param>
    /// <returns>The reservation. The change must be over within <see cref="Reservation.Remaining"/>.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// The tag is out of bounds, or the option <see cref="GenfenceSettings.Tags"/> is off.
    /// </exception>
    public ValueTask<Reservation> ReserveTagAsync(string tag, CancellationToken cancellationToken = default) =>
        ClaimAsync(OfTag(Op.ReserveTag, tag), cancellationToken);

    /// <summary>As <see cref="ReserveTagAsync"/>, once no copies of the tag are served any more: see <see cref="ReserveSettledAsync"/>.</summary>
    /// <inheritdoc cref="ReserveTagAsync"/>
    public ValueTask<Reservation> ReserveTagSettledAsync(string tag, CancellationToken cancellationToken = default) =>
        ClaimAsync(OfTag(Op.ReserveTag, tag) with { Flags = Flags.Settled }, cancellationToken);

    /// <summary>Changes the source of all values that bear a tag under a reservation: as <c>UpdateAsync</c> for one key.</summary>
    /// <param name="tag">The tag; <c>*</c> is everything.</param>
    /// <param name="change">Changes the source, as that of <c>UpdateAsync</c>.</param>
    /// <param name="cancellationToken">
    /// Ends the wait for the reservation, and goes to the closure. What comes after the closure is not cancelled.
    /// </param>
    /// <returns>What became of the update.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// The tag is out of bounds, or the option <see cref="GenfenceSettings.Tags"/> is off: the closure did not run.
    /// </exception>
    /// <exception cref="GenfenceStoreException">The tag could not be reserved: the closure did not run.</exception>
    public ValueTask<UpdateOutcome> UpdateTagAsync(
        string tag,
        Func<Reservation, CancellationToken, ValueTask<SourceResult>> change,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        return ChangeAsync(OfTag(Op.ReserveTag, tag), change, cancellationToken);
    }

    private static Request OfTag(Op op, string tag) => new(op) { Key = Tags.Encode(tag) };
}
