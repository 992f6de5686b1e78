namespace Genfence;

/// <summary>What is known of a key once its source is committed, in bytes.</summary>
internal readonly record struct Known(
    SourceState State, ReadOnlyMemory<byte>? Value = null, long? Version = null, TimeSpan? TimeToLive = null, Exception? Cause = null)
{
    public static Known Of<T>(SourceResult<T> result, IGenfenceSerializer<T> serializer)
    {
        var (value, version, timeToLive) = result.Fresh;
        return result.State switch
        {
            SourceState.Committed => new(
                result.State, result.Gone ? null : GenfenceCache.Serialize(value, serializer), version, timeToLive),
            SourceState.Changed => new(result.State, Version: version),
            SourceState.RolledBack => new(result.State, Cause: result.Cause),
            _ => throw new GenfenceInvalidException("change", "change: say one of SourceResult's of each key; this one is released"),
        };
    }
}
