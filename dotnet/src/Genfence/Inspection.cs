using System.Text.Json;
using System.Text.Json.Serialization;
using Genfence.Native;

namespace Genfence;

/// <summary>All that the cache knows of a key; times are what was left when it was looked at.</summary>
public sealed class Inspection
{
    internal Inspection() { }

    /// <summary>Whether it holds a value, or knows that the source has nothing.</summary>
    public bool IsStored { get; internal init; }

    /// <summary>How long the value is; <see langword="null"/> where there is none.</summary>
    public int? ValueBytes { get; internal init; }

    /// <summary>The value's version from the source, where it has one.</summary>
    public long? Version { get; internal init; }

    /// <summary>The least version that may be stored, where one was heard of.</summary>
    public long? Floor { get; internal init; }

    /// <summary>What is left of each writer's reservation.</summary>
    public IReadOnlyList<TimeSpan> ReservedFor { get; internal init; } = [];

    /// <summary>What is left of a reader's lease, where there is one.</summary>
    public TimeSpan? LeasedFor { get; internal init; }

    /// <summary>How often the record was written, as the store counts.</summary>
    public long Generation { get; internal init; }

    /// <summary>When it will know nothing of the key, unless it hears more.</summary>
    public TimeSpan ExpiresIn { get; internal init; }
}

internal sealed record NativeInspection(
    bool IsStored,
    int? ValueBytes,
    long? Version,
    long? Floor,
    IReadOnlyList<long> ReservedMs,
    long? LeasedMs,
    long Generation,
    long ExpiresMs);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(NativeInspection))]
internal sealed partial class InspectionContext : JsonSerializerContext;

public sealed partial class GenfenceCache
{
    /// <summary>All that the cache knows of a key, for an operator to look at. No value is read.</summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What it knows; <see langword="null"/> if nothing.</returns>
    public async ValueTask<Inspection?> InspectAsync(CacheKey key, CancellationToken cancellationToken = default)
    {
        var result = await Connection.Submit(new Request(Op.Inspect) { Key = key }, cancellationToken).ConfigureAwait(false);
        try
        {
            result.ThrowIfFailed();
            return result.Status switch
            {
                Status.Done => Of(JsonSerializer.Deserialize(result.ValueSpan(), InspectionContext.Default.NativeInspection)!),
                Status.Miss => null,
                var other => throw Results.Unknown(other),
            };
        }
        finally
        {
            result.Free();
        }
    }

    private static Inspection Of(NativeInspection known) => new()
    {
        IsStored = known.IsStored,
        ValueBytes = known.ValueBytes,
        Version = known.Version,
        Floor = known.Floor,
        ReservedFor = [.. known.ReservedMs.Select(left => TimeSpan.FromMilliseconds(left))],
        LeasedFor = known.LeasedMs is { } left ? TimeSpan.FromMilliseconds(left) : null,
        Generation = known.Generation,
        ExpiresIn = TimeSpan.FromMilliseconds(known.ExpiresMs),
    };
}
