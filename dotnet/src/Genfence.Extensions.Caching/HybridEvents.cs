using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Tracing;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace Genfence.Extensions.Caching;

/// <summary>
/// The events and counters of Microsoft's HybridCache, where dashboards look. It is Microsoft's own source that tells them, and not
/// one of the same name: of two such in a process the runtime lets neither speak. It is internal there, so it is found by reflection; what a
/// later version does not have any more is not told.
/// </summary>
[UnconditionalSuppressMessage("Trimming", "IL2026", Justification = Justification)]
[UnconditionalSuppressMessage("Trimming", "IL2111", Justification = Justification)]
internal static class HybridEvents
{
    private const string Justification = "Of its methods only those are called that take nothing, and write one number.";

    private const DynamicallyAccessedMemberTypes Members =
        DynamicallyAccessedMemberTypes.PublicFields | DynamicallyAccessedMemberTypes.PublicMethods | DynamicallyAccessedMemberTypes.NonPublicMethods;

    [DynamicallyAccessedMembers(Members)]
    private static readonly Type? s_type = Type.GetType(
        "Microsoft.Extensions.Caching.Hybrid.Internal.HybridCacheEventSource, Microsoft.Extensions.Caching.Hybrid");

    private static readonly EventSource? s_source = s_type?.GetField("Log")?.GetValue(null) as EventSource;

    /// <summary>Whether somebody listens. If not, nothing is told, nor counted.</summary>
    public static bool IsEnabled
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)] // Each hit asks it.
        get => s_source is { } source && source.IsEnabled();
    }

    // Apart, as hardly anybody listens.
    internal static class Tell
    {
        /// <summary>The cache is asked. One of the next four follows.</summary>
        public static readonly Action DistributedCacheGet = Find(nameof(DistributedCacheGet));

        /// <summary>It had the value.</summary>
        public static readonly Action DistributedCacheHit = Find(nameof(DistributedCacheHit));

        /// <summary>It had none, or is not to be asked now.</summary>
        public static readonly Action DistributedCacheMiss = Find(nameof(DistributedCacheMiss));

        /// <summary>It gave no answer, and the source was not asked either.</summary>
        public static readonly Action DistributedCacheFailed = Find(nameof(DistributedCacheFailed));

        /// <summary>Its caller cancelled.</summary>
        public static readonly Action DistributedCacheCanceled = Find(nameof(DistributedCacheCanceled));

        /// <summary>A factory begins. One of the next three follows.</summary>
        public static readonly Action UnderlyingDataQueryStart = Find(nameof(UnderlyingDataQueryStart));

        /// <summary>It has a value.</summary>
        public static readonly Action UnderlyingDataQueryComplete = Find(nameof(UnderlyingDataQueryComplete));

        /// <summary>It threw.</summary>
        public static readonly Action UnderlyingDataQueryFailed = Find(nameof(UnderlyingDataQueryFailed));

        /// <summary>It was cancelled.</summary>
        public static readonly Action UnderlyingDataQueryCanceled = Find(nameof(UnderlyingDataQueryCanceled));

        /// <summary>A set was stored, or a fill was sent: whether that lost its race is the cache's own counters to tell.</summary>
        public static readonly Action DistributedCacheWrite = Find(nameof(DistributedCacheWrite));

        /// <summary>A caller came while another one's call for the same key was under way.</summary>
        public static readonly Action StampedeJoin = Find(nameof(StampedeJoin));

        /// <summary>The values of a group were removed; not those of all.</summary>
        public static readonly Action TagInvalidated = Find(nameof(TagInvalidated));

        /// <summary>Tells nobody.</summary>
        internal static void Nobody()
        {
        }

        private static Action Find(string name) =>
            s_type?.GetMethod(name, BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic, [])
                ?.CreateDelegate<Action>(s_source) ?? Nobody;
    }
}
