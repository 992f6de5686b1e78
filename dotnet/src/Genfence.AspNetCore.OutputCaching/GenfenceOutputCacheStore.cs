using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.OutputCaching;
using Microsoft.Extensions.Logging;

namespace Genfence.AspNetCore.OutputCaching;

/// <summary>
/// The middleware gets, and where that misses renders, and sets. So a get that misses takes the lease of its key, with what is known then of the tags that
/// the policies have named; and the set of the same request is its fill, which stores nothing that would be served after a change of one of them.
/// </summary>
internal sealed partial class GenfenceOutputCacheStore : IOutputCacheBufferStore
{
    /// <summary>The longest there is: what is to live longer may go earlier, as from any cache.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromDays(3650);

    private readonly GenfenceCache _cache;
    private readonly IHttpContextAccessor _requests;
    private readonly ILogger _logger;
    private readonly LateTags _late = new();

    // The last of each key that was given a lease, while a request renders under it.
    private readonly ConcurrentDictionary<string, Miss> _misses = new(StringComparer.Ordinal);

    private int _told;

    public GenfenceOutputCacheStore(GenfenceCache cache, IHttpContextAccessor requests, ILogger<GenfenceOutputCacheStore> logger)
    {
        // It says so where the cache has none.
        _ = cache.Tagged();
        (_cache, _requests, _logger) = (cache, requests, logger);
    }

    public async ValueTask<byte[]?> GetAsync(string key, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        try
        {
            return (await _cache.GetAsync(key, cancellationToken).ConfigureAwait(false))?.Value
                ?? await MissedAsync(key, cancellationToken).ConfigureAwait(false);
        }
        catch (GenfenceInvalidException bad)
        {
            TellOnce(bad.Message);
            return null;
        }
    }

    public async ValueTask<bool> TryGetAsync(string key, PipeWriter destination, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(destination);
        try
        {
            if (!await _cache.TryGetAsync(key, destination, cancellationToken).ConfigureAwait(false))
            {
                if (await MissedAsync(key, cancellationToken).ConfigureAwait(false) is not { } found)
                {
                    return false;
                }
                destination.Write(found);
            }
        }
        catch (GenfenceInvalidException bad)
        {
            TellOnce(bad.Message);
            return false;
        }
        await destination.FlushAsync(cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>Takes the lease, if it is to be had, for the set of the same request; or it is there by now.</summary>
    private async ValueTask<byte[]?> MissedAsync(string key, CancellationToken cancellation)
    {
        if (_requests.HttpContext is not { } request
            || request.Features.Get<IOutputCacheFeature>()?.Context is not { AllowCacheStorage: true } policies)
        {
            // No set will come that could be told from others.
            return null;
        }
        string[] tags = [.. policies.Tags.Union(_late.Of(key))];
        // Waits for nobody: whoever has the lease need not set.
        var found = await Bearing(tags).LookupNowAsync(key, cancellation).ConfigureAwait(false);
        if (found.Lease is { } lease)
        {
            Keep(request, key, _misses[key] = new Miss(tags, lease, ended => _misses.TryRemove(new(key, ended))));
        }
        else if (found.Hit.Value is null && _misses.TryGetValue(key, out var another) && another.Joined(tags))
        {
            Keep(request, key, another);
        }
        return found.Hit.Value;
    }

    /// <summary>Until the request ends: what is not rendered, or not to be stored, gives the lease back.</summary>
    private static void Keep(HttpContext request, string key, Miss miss)
    {
        request.Items[Miss.Of(key)] = miss;
        request.Response.RegisterForDispose(miss);
    }

    public ValueTask SetAsync(string key, byte[] value, string[]? tags, TimeSpan validFor, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(value);
        return SetAsync(key, new ReadOnlySequence<byte>(value), tags, validFor, cancellationToken);
    }

    public async ValueTask SetAsync(
        string key, ReadOnlySequence<byte> value, ReadOnlyMemory<string> tags, TimeSpan validFor, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        if (validFor <= TimeSpan.Zero)
        {
            return;
        }
        var whole = value.IsSingleSegment ? value.First : value.ToArray();
        var left = validFor < s_longest ? validFor : s_longest;
        if (_requests.HttpContext is not { } request)
        {
            // By the program itself, which knows what it sets: the last one wins, and no source was asked.
            _ = await Bearing([.. tags.Span]).SetBytesAsync(key, whole, left, cancellationToken).ConfigureAwait(false);
            return;
        }
        if (!request.Items.Remove(Miss.Of(key), out var kept) || kept is not Miss miss)
        {
            await WithoutLeaseAsync(key, request, cancellationToken).ConfigureAwait(false);
            return;
        }
        if (!miss.Named(tags.ToArray()))
        {
            // A change of one of them may have passed by since this was rendered.
            _late.Remember(key, tags);
            TellOnce("tags were named while a response was rendered, which is not stored then: name them by a policy");
            return;
        }
        using var lease = miss.TakeLease();
        if (lease is null)
        {
            return;
        }
        var filled = await lease.FillAsync(whole, null, left, cancellationToken).ConfigureAwait(false);
        if (filled == FillOutcome.TooLarge)
        {
            TellOnce($"one has {whole.Length} bytes: raise max_value_bytes in the cache's URL, or let OutputCacheOptions.MaximumBodySize say less");
        }
    }

    /// <summary>Another request renders the same, or has rendered it; or it was not looked for, as what is there is not wanted.</summary>
    private ValueTask WithoutLeaseAsync(string key, HttpContext request, CancellationToken cancellation) =>
        request.Features.Get<IOutputCacheFeature>()?.Context is { AllowCacheLookup: false }
            ? _cache.InvalidateAsync(key, null, cancellation)
            : default;

    public ValueTask EvictByTagAsync(string tag, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(tag);
        return _cache.PurgeTagAsync(tag, cancellationToken);
    }

    /// <summary>Each bears that of all values anyhow.</summary>
    private GenfenceCache Bearing(string[] tags) => _cache.Tagged(tags.Where(tag => tag != "*"));

    private void TellOnce(string problem)
    {
        if (Interlocked.Exchange(ref _told, 1) == 0)
        {
            NotCached(_logger, problem);
        }
    }

    [LoggerMessage(7, LogLevel.Warning, "some responses are not cached, which is said once: {Problem}")]
    private static partial void NotCached(ILogger logger, string problem);
}
