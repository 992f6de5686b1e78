using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Genfence;

/// <summary>
/// What the URL cannot say. All that concerns the cache itself (<c>ttl</c>, <c>wait</c>,
/// <c>reservation_time</c> …) stands in the URL.
/// </summary>
public sealed class GenfenceOptions
{
    /// <summary>
    /// What every key begins with, where it is no UTF-8 and so cannot stand in the URL. Empty: as the
    /// URL says.
    /// </summary>
    public ReadOnlyMemory<byte> Prefix { get; set; }

    /// <summary>
    /// Threads of the native library's own, for all caches of the process: what the first one says. 0:
    /// one for every two processors, at most 8. At most 256.
    /// </summary>
    public int WorkerThreads { get; set; }

    /// <summary>
    /// Opens the cache at once, and connects in the background, again and again until the cluster is there and fit;
    /// as <c>background_connect</c> in the URL. Until then reads follow <c>unreachable_read</c> and reserves
    /// <c>unreachable_reserve</c>; during the first try they wait for it, at most for the option <c>timeout</c>.
    /// <see cref="GenfenceCache.ReadyAsync"/> waits for the cluster. Without effect on <c>memory://</c>.
    /// </summary>
    public bool ConnectInBackground { get; set; }

    /// <summary>
    /// How long <see cref="GenfenceCache.DisposeAsync"/> lets what is under way go on. Default 2 s;
    /// from 0 to 1 h.
    /// </summary>
    public TimeSpan CloseTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How values without a serializer of their own are written as JSON; set it to the options of a
    /// source-generated context in programs that are trimmed or compiled ahead of time. By default as System.Text.Json
    /// does it, and with public fields, which are all that a value tuple has.
    /// </summary>
    public JsonSerializerOptions? Json { get; set; }

    /// <summary>Where to log; nowhere by default. Keys and values are never logged.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }

    /// <summary>The value of the tag <c>genfence.cache</c> of all metrics of this cache.</summary>
    public string Name { get; set; } = "default";

    internal void Check()
    {
        if (WorkerThreads is < 0 or > 256)
        {
            throw new GenfenceInvalidException(
                "WorkerThreads", $"WorkerThreads: {WorkerThreads}, must be 0 to 256");
        }
        if (CloseTimeout < TimeSpan.Zero || CloseTimeout > TimeSpan.FromHours(1))
        {
            throw new GenfenceInvalidException(
                "CloseTimeout", $"CloseTimeout: {CloseTimeout}, must be 0 to 1 h");
        }
        if (Name is null)
        {
            throw new GenfenceInvalidException("Name", "Name: is null");
        }
    }
}
