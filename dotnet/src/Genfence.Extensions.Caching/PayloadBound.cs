using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.Logging;

namespace Genfence.Extensions.Caching;

/// <summary>
/// <see cref="HybridCacheOptions.MaximumPayloadBytes"/>, where a program has set it: the default is larger than the cache's own bound,
/// which programs raise in the URL, and so says nothing.
/// </summary>
internal sealed partial class PayloadBound(long most, ILogger logger)
{
    private static readonly long s_unset = new HybridCacheOptions().MaximumPayloadBytes;

    private int _told;

    /// <summary>Nothing where the cache's own counts alone.</summary>
    public static PayloadBound? Of(HybridCacheOptions? options, ILogger logger) =>
        options is null || options.MaximumPayloadBytes == s_unset ? null : new PayloadBound(options.MaximumPayloadBytes, logger);

    /// <summary>Whether so many bytes are stored. That they are not is said once.</summary>
    public bool IsWithin(int bytes)
    {
        if (bytes <= most)
        {
            return true;
        }
        if (Interlocked.Exchange(ref _told, 1) == 0)
        {
            TooLarge(logger, bytes, most);
        }
        return false;
    }

    [LoggerMessage(6, LogLevel.Warning,
        "a value of {Bytes} bytes is not cached, as MaximumPayloadBytes is {Most}, which is said once")]
    private static partial void TooLarge(ILogger logger, long bytes, long most);
}
