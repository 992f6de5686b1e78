using CommandLine;

namespace Genfence.Load;

/// <summary>What the command line says.</summary>
internal sealed class Options
{
    [Option("url", Default = "memory://", HelpText = "The cache: memory://, or aerospike://host:port/namespace/set")]
    public required string Url { get; init; }

    [Option("callers", Separator = ',', Default = new[] { 1, 32, 128, 256 }, HelpText = "Callers at once: 1 to 512, several with commas")]
    public required IEnumerable<int> Callers { get; init; }

    [Option("zipf", Default = 0.0, HelpText = "Some keys are read more often, by Zipf's law with this exponent: 0 (all alike) to 5")]
    public double Zipf { get; init; }

    [Option("value", Default = 100, HelpText = "Bytes of a value: 1 to 1000000")]
    public int Value { get; init; }

    [Option("updates", Default = 0, HelpText = "Measures a mix, too, of whose 100 operations so many are updates: 0 to 99")]
    public int Updates { get; init; }

    [Option("seconds", Default = 2.0, HelpText = "How long a round is: above 0, to 600")]
    public double Seconds { get; init; }

    [Option("rounds", Default = 5, HelpText = "Rounds that each way gets in turn with the others, of which the median is told: 1 to 99")]
    public int Rounds { get; init; }

    [Option("name", Default = "", HelpText = "Only the ways with this in their names")]
    public required string Name { get; init; }

    [Option("worker-threads", Default = 0, HelpText = "GenfenceOptions.WorkerThreads")]
    public int WorkerThreads { get; init; }

    [Option("json", HelpText = "One JSON object per way and number of callers instead of the table")]
    public bool Json { get; init; }

    /// <summary>What is out of bounds, by its name; null if nothing is.</summary>
    public string? Wrong() =>
        Callers.Any(count => count is < 1 or > Keys.MostCallers) ? "--callers: must be 1 to 512"
        : Zipf is < 0 or > 5 ? "--zipf: must be 0 to 5"
        : Value is < 1 or > 1_000_000 ? "--value: must be 1 to 1000000"
        : Updates is < 0 or > 99 ? "--updates: must be 0 to 99"
        : Seconds is <= 0 or > 600 ? "--seconds: must be above 0, and at most 600"
        : Rounds is < 1 or > 99 ? "--rounds: must be 1 to 99"
        : null;
}
