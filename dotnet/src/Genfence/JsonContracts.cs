using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Genfence;

/// <summary>
/// How System.Text.Json writes a type. What it would write and not read back is refused at the first use: each read
/// would pay for the cache and ask the source all the same, or, worse, be served a value that has lost its data.
/// </summary>
internal static class JsonContracts
{
    /// <summary>The contract of a type in these options; where there are none, in ours.</summary>
    public static JsonTypeInfo<T> Find<T>(JsonSerializerOptions? given)
    {
        var options = given is null ? Ours<T>() : WithResolver(given);
        try
        {
            return (JsonTypeInfo<T>)options.GetTypeInfo(typeof(T));
        }
        catch (Exception cause) when (cause is NotSupportedException or InvalidOperationException)
        {
            throw Refused<T>($"has no contract in the JsonSerializerOptions: {cause.Message}", cause);
        }
    }

    /// <summary>Throws where what this contract writes is not what it reads.</summary>
    public static void Check<T>(JsonTypeInfo<T> contract)
    {
        if (LosesFields(contract))
        {
            throw Refused<T>("keeps its data in fields, which these JsonSerializerOptions leave out: set their "
                + "IncludeFields, or take a type with properties");
        }
        if (typeof(T) == typeof(object) && IsBuiltIn(contract))
        {
            throw Refused<T>($"would be read back as JSON, and not as what it was: {Instead}");
        }
        if (typeof(T).IsAbstract && contract.Kind == JsonTypeInfoKind.Object
            && contract.CreateObject is null && !HasDiscriminators(contract))
        {
            throw Refused<T>($"is an interface or abstract, so JSON of it could not be read back: {Instead}");
        }
        // The only one who knows of each collection and each constructor is the reader itself.
        if (contract.Kind != JsonTypeInfoKind.None && !HasDiscriminators(contract))
        {
            TryReadEmpty(contract);
        }
    }

    private const string Instead =
        "take a concrete type, [JsonPolymorphic] with [JsonDerivedType] and a discriminator, or an IGenfenceSerializer of yours";

    private static void TryReadEmpty<T>(JsonTypeInfo<T> contract)
    {
        try
        {
            _ = JsonSerializer.Deserialize(contract.Kind == JsonTypeInfoKind.Enumerable ? "[]"u8 : "{}"u8, contract);
        }
        catch (NotSupportedException cause)
        {
            throw Refused<T>($"could be written as JSON and not read back: {cause.Message}", cause);
        }
        catch (Exception refused) when (refused is not OutOfMemoryException)
        {
            // Empty is not what it takes, say as a member is required; it can be read all the same.
        }
    }

    private static bool LosesFields<T>(JsonTypeInfo<T> contract)
    {
        var type = Nullable.GetUnderlyingType(typeof(T)) ?? typeof(T);
        var members = type == typeof(T) ? contract : contract.Options.GetTypeInfo(type);
        return members.Kind == JsonTypeInfoKind.Object && members.Properties.Count == 0
            && type != typeof(ValueTuple)
            && ((type.IsValueType && typeof(ITuple).IsAssignableFrom(type)) || HasFields(type));
    }

    [UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "A field that was trimmed holds nothing to lose.")]
    private static bool HasFields(Type type) =>
        type.GetFields(BindingFlags.Instance | BindingFlags.Public).Length > 0;

    private static bool HasDiscriminators(JsonTypeInfo contract) =>
        contract.PolymorphismOptions?.DerivedTypes.Any(derived => derived.TypeDiscriminator is not null) == true;

    private static bool IsBuiltIn(JsonTypeInfo contract) =>
        contract.Converter.GetType().Assembly == typeof(JsonSerializer).Assembly;

    [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "Off where the program is trimmed.")]
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Off where the program is compiled ahead.")]
    private static JsonSerializerOptions WithResolver(JsonSerializerOptions given)
    {
        if (given.TypeInfoResolver is null && JsonSerializer.IsReflectionEnabledByDefault)
        {
            // As the serializer's own calls do with what they are given.
            given.MakeReadOnly(populateMissingResolver: true);
        }
        return given;
    }

    private static JsonSerializerOptions Ours<T>() =>
        JsonSerializer.IsReflectionEnabledByDefault
            ? Reflection.Options
            : throw new GenfenceInvalidException(
                "serializer",
                $"serializer: none for {typeof(T)}; this program was built without JSON by reflection, so pass "
                + "GenfenceSerializer.Json(YourContext.Default.YourType), or set GenfenceOptions.Json");

    private static GenfenceInvalidException Refused<T>(string why, Exception? cause = null) =>
        new("serializer", $"serializer: {typeof(T)} {why}", cause);

    private static class Reflection
    {
        // With fields: they are all that a value tuple has.
        public static readonly JsonSerializerOptions Options = Make();

        [UnconditionalSuppressMessage("Trimming", "IL2026", Justification = "Off where the program is trimmed.")]
        [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Off where the program is compiled ahead.")]
        private static JsonSerializerOptions Make()
        {
            var made = new JsonSerializerOptions(JsonSerializerOptions.Default) { IncludeFields = true };
            made.MakeReadOnly(populateMissingResolver: true);
            return made;
        }
    }
}
