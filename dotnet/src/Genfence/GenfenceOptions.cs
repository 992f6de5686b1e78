using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Genfence;

/// <summary>How a cache is opened, and what belongs to it in this program.</summary>
public sealed class GenfenceOptions : GenfenceSettings
{
    /// <summary>Those that are as they are by default.</summary>
    public GenfenceOptions() { }

    internal GenfenceOptions(GenfenceSettings settings) => CopyAll(settings);

    internal override void Check()
    {
        base.Check();
        if (!PrefixBytes.IsEmpty && !string.IsNullOrEmpty(Prefix))
        {
            throw new GenfenceInvalidException("PrefixBytes", "PrefixBytes: is given beside Prefix: leave out one of them");
        }
    }

    /// <summary>
    /// What every key begins with, where it is no UTF-8, and so no <see cref="GenfenceSettings.Prefix"/>, beside which it may
    /// not be given. A <c>prefix</c> in the URL counts before it.
    /// </summary>
    public ReadOnlyMemory<byte> PrefixBytes { get; set; }

    /// <summary>
    /// How values without a serializer of their own are written as JSON; set it to the options of a
    /// source-generated context in programs that are trimmed or compiled ahead of time. By default as System.Text.Json
    /// does it, and with public fields, which are all that a value tuple has.
    /// </summary>
    public JsonSerializerOptions? Json { get; set; }

    /// <summary>Where to log; nowhere by default. Keys and values are never logged.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }
}
